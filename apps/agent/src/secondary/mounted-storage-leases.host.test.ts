import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { mkdir, mkdtemp, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock/clock.js';
import { silentLog } from '../logging/silent-log.js';
import { ExecaToolRunner } from '../process/execa-tool-runner.js';
import { ChildFileLooks } from '../looks/child-file-looks.js';
import { ChildTargetFiles } from './child-target-files.js';
import { KnownRoots } from './known-roots.js';
import { MountedStorageLeases } from './mounted-storage-leases.js';
import { Mounter } from './mounter.js';
import type { StorageSpec } from './storage-spec.js';

const CALL = { deadlineMs: 60_000 };
const ID = '00000000-0000-4000-8000-00000000aaaa';
const OTHER_ID = '00000000-0000-4000-8000-00000000bbbb';
const tools = new ExecaToolRunner(silentLog);

describe('MountedStorageLeases on an ext4 image', () => {
  let base: string;
  let storage: StorageSpec;
  let mountPoint: string;
  let all: MountedStorageLeases[];
  let roots: KnownRoots;

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'holdfast-leases-'));
    const image = join(base, 'storage.img');
    await tools.must('truncate', ['-s', '32M', image], CALL);
    await tools.must('mkfs.ext4', ['-q', '-F', image], CALL);
    storage = { id: ID, name: 'test', type: 'ext4', source: image, options: 'loop' };
    mountPoint = join(base, 'mnt', ID);
    all = [];
  });
  afterEach(async () => {
    all.forEach((one) => one.close());
    await tools.run('umount', ['-l', mountPoint], CALL);
    await rm(base, { recursive: true, force: true });
  });

  async function life(unfinished: string[] = []): Promise<MountedStorageLeases> {
    roots = new KnownRoots([]);
    const mounter = new Mounter(tools);
    const one = new MountedStorageLeases({
      stateDir: join(base, 'state'),
      mountRoot: join(base, 'mnt'),
      files: new ChildTargetFiles(tools, new ChildFileLooks(tools), roots),
      roots,
      mounter,
      clock: systemClock,
      log: silentLog,
      unmountRetryMs: 50,
    });
    all.push(one);
    await one.recover(unfinished);
    return one;
  }
  const mounted = (): Promise<boolean> => new Mounter(tools).isMounted(mountPoint);
  async function until(what: () => Promise<boolean>): Promise<void> {
    while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  it('initialises an empty storage once, and mounts it only while somebody holds it', async () => {
    const leases = await life();
    expect(await leases.inspect(storage, true)).toMatchObject({ storageId: ID, formatVersion: 1, writable: true });
    expect(await leases.inspect(storage, true)).toMatchObject({ storageId: ID });
    expect(await mounted()).toBe(false);
    const [one, two] = await Promise.all([leases.acquire(storage, 'op-1', 'write'), leases.acquire(storage, 'op-2', 'read')]);
    expect(one.root).toBe(mountPoint);
    expect(two.root).toBe(mountPoint);
    expect(roots.all()).toEqual([mountPoint]);
    expect(await readdir(mountPoint)).toEqual(['backups', 'holdfast.json', 'lost+found']);
    await leases.release(ID, 'op-1');
    expect(await mounted()).toBe(true);
    await leases.releaseAll('op-2');
    expect(await mounted()).toBe(false);
    expect(await readdir(join(base, 'mnt'))).toEqual([]);
    expect(await readdir(join(base, 'state', 'leases'))).toEqual([]);
    expect(roots.all()).toEqual([]);
  });

  it('refuses a place without identity, another storage, other things, and one that is not there', async () => {
    const leases = await life();
    await expect(leases.acquire(storage, 'op', 'read')).rejects.toMatchObject({ code: 'STORAGE_MISSING' });
    await leases.inspect(storage, true);
    const other = { ...storage, id: '00000000-0000-4000-8000-00000000bbbb' };
    await expect(leases.acquire(other, 'op', 'read')).rejects.toMatchObject({ code: 'STORAGE_NOT_OURS', fields: { found: ID } });
    await expect(leases.inspect(other, true)).rejects.toMatchObject({ code: 'STORAGE_NOT_OURS' });
    await expect(leases.acquire({ ...storage, source: join(base, 'none') }, 'op', 'read')).rejects.toMatchObject({
      code: 'STORAGE_MISSING',
    });
    const dir = join(base, 'dir');
    await mkdir(dir);
    await writeFile(join(dir, 'photo.jpg'), '');
    await expect(leases.inspect({ ...storage, type: 'dir', source: dir, options: '' }, true)).rejects.toMatchObject({
      code: 'STORAGE_NOT_EMPTY',
    });
    expect(await readdir(join(base, 'mnt'))).toEqual([]);
  });

  it('says that a storage is read-only only to who wants to write', async () => {
    const leases = await life();
    await leases.inspect(storage, true);
    const readOnly = { ...storage, options: 'loop,ro' };
    await leases.acquire(readOnly, 'reader', 'read');
    await expect(leases.acquire(readOnly, 'writer', 'write')).rejects.toMatchObject({ code: 'STORAGE_READ_ONLY' });
    expect((await leases.inspect(readOnly, false)).writable).toBe(false);
    await leases.release(ID, 'reader');
    expect(await mounted()).toBe(false);
  });

  it('keeps the mount of an unfinished operation over a restart, and unmounts what nobody holds', async () => {
    const first = await life();
    await first.inspect(storage, true);
    await first.acquire(storage, 'op', 'write');
    first.close();
    const second = await life(['op']);
    expect(await mounted()).toBe(true);
    expect(roots.all()).toEqual([mountPoint]);
    second.close();
    await life([]);
    await until(async () => !(await mounted()));
    expect(await readdir(join(base, 'state', 'leases'))).toEqual([]);
  });

  it('does not throw for a busy mount and unmounts it later, unless it is wanted again', async () => {
    const leases = await life();
    await leases.inspect(storage, true);
    await leases.acquire(storage, 'op', 'write');
    const reader = await open(join(mountPoint, 'holdfast.json'));
    await leases.release(ID, 'op');
    expect(await mounted()).toBe(true);
    await leases.acquire(storage, 'op-2', 'read');
    await reader.close();
    await leases.release(ID, 'op-2');
    await until(async () => !(await mounted()));
  });

  it('tells a full storage from a read-only one', async () => {
    const leases = await life();
    await leases.inspect(storage, true);
    const { root } = await leases.acquire(storage, 'op', 'write');
    for (const size of ['64k', '1k'])
      await tools.run('dd', ['if=/dev/zero', `of=${root}/fill-${size}`, `bs=${size}`, 'status=none'], CALL);
    await expect(leases.acquire(storage, 'op-2', 'write')).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await leases.release(ID, 'op');
  });

  it('takes a source and options of any characters as they are, and lets no shell see them', async () => {
    const name = `a b'c"d $(touch ran) ;\t\\ü,x`;
    const image = join(base, name);
    await rename(storage.source, image);
    const leases = await life();
    const odd = { ...storage, source: image };
    await leases.inspect(odd, true);
    expect((await leases.acquire(odd, 'op', 'write')).root).toBe(mountPoint);
    await leases.release(ID, 'op');
    await until(async () => !(await mounted()));
    const options = `loop,x=$(touch ${join(base, 'ran')});touch ${join(base, 'ran')}`;
    await expect(leases.acquire({ ...odd, options }, 'op', 'read')).rejects.toMatchObject({ code: 'STORAGE_MISSING' });
    expect((await readdir(base)).sort()).toEqual([name, 'mnt', 'state'].sort());

    const dir = { ...storage, type: 'dir', source: join(base, 'd', name), options: '' };
    await mkdir(dir.source, { recursive: true });
    await leases.inspect({ ...dir, id: OTHER_ID }, true);
    expect(await leases.acquire({ ...dir, id: OTHER_ID }, 'op', 'write')).toEqual({ root: dir.source });
    expect(await readdir(dir.source)).toEqual(['backups', 'holdfast.json']);
    await leases.release(OTHER_ID, 'op');
  });

  it('uses a directory without mounting it', async () => {
    const dir = join(base, 'dir');
    await mkdir(dir);
    const spec = { ...storage, type: 'dir', source: dir, options: '' };
    const leases = await life();
    await leases.inspect(spec, true);
    expect(await leases.acquire(spec, 'op', 'write')).toEqual({ root: dir });
    expect(await readdir(dir)).toEqual(['backups', 'holdfast.json']);
    await leases.release(ID, 'op');
    await expect(leases.acquire({ ...spec, source: join(base, 'nowhere') }, 'op', 'read')).rejects.toBeInstanceOf(HoldfastError);
  });
});
