/** Surveys and removals on a real storage of real images; who uses what on primary is told by the test. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../../apps/agent/src/clock/clock.js';
import { ChildFileLooks } from '../../apps/agent/src/looks/child-file-looks.js';
import { ChildTargetFiles } from '../../apps/agent/src/secondary/child-target-files.js';
import { KnownRoots } from '../../apps/agent/src/secondary/known-roots.js';
import { MountedStorageLeases } from '../../apps/agent/src/secondary/mounted-storage-leases.js';
import { Mounter } from '../../apps/agent/src/secondary/mounter.js';
import { removeFromStorage, removeLayers, type StrayPorts } from '../../apps/agent/src/strays/remove-strays.js';
import { surveyPrimary, surveyStorage, type SurveyedEntry } from '../../apps/agent/src/strays/survey.js';
import { run } from '../testbed/command.js';
import { CountingRunner, imageTool, silentLog } from './rig.js';

const VM = randomUUID();
const KEY = randomUUID();

describe('strays', () => {
  let dir: string;
  let ports: StrayPorts & { primaryPools: string[] };
  let used: Set<string>;
  let busy: Set<string>;
  let restoring: boolean;
  const storage = { id: randomUUID(), name: 's', type: 'dir', source: '', options: '' };
  const root = (): string => storage.source;
  const folderOf = (id: string): string => join(root(), 'backups', VM, id);
  const file = (id: string): string => join(folderOf(id), `${KEY}.qcow2`);

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-strays-'));
    const pool = join(dir, 'pool');
    storage.source = join(dir, 'storage');
    for (const path of [pool, storage.source]) await mkdir(path);
    const tools = new CountingRunner();
    const roots = new KnownRoots([pool]);
    const files = new ChildTargetFiles(tools, new ChildFileLooks(tools), roots);
    const storages = new MountedStorageLeases({
      ...{ stateDir: join(dir, 'state'), mountRoot: join(dir, 'mnt'), files, roots },
      ...{ mounter: new Mounter(tools), clock: systemClock, log: silentLog },
    });
    await storages.recover([]);
    await storages.inspect(storage, true);
    used = new Set();
    busy = new Set();
    restoring = false;
    const hypervisor = { pathsInUseByOthers: async () => used };
    const atWork = { busyVms: () => busy, makesPrimaryFiles: () => restoring };
    ports = { files, storages, images: imageTool(tools), hypervisor, ...atWork, primaryPools: [pool] };
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  async function image(path: string, backing?: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    const below = backing === undefined ? [] : ['-b', backing, '-F', 'qcow2'];
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...below, path, ...(backing === undefined ? ['1M'] : [])]);
  }

  async function backup(id: string, parent?: string): Promise<void> {
    await image(file(id), parent === undefined ? undefined : `../${parent}/${KEY}.qcow2`);
    await writeFile(join(folderOf(id), 'domain.xml'), '<domain/>');
    const volume = { key: KEY, device: 'vda', sizeBytes: '1', virtualSizeBytes: '1', file: `${KEY}.qcow2`, format: 'qcow2' };
    const link = parent === undefined ? {} : { parentFile: `../${parent}/${KEY}.qcow2` };
    const manifest = {
      ...{ schemaVersion: 1, backupId: id, backupName: 'b', vm: { id: VM, name: 'vm' }, storageId: storage.id },
      ...{ frozenAt: '2026-01-01T00:00:00Z', publishedAt: '2026-01-01T00:00:00Z', type: 'FULL', notes: {}, vmSettings: {} },
      ...(parent === undefined ? {} : { parentBackupId: parent }),
      ...{ endOfChain: false, isolated: false, quiesced: false, domainXmlFile: 'domain.xml' },
      volumes: [{ ...volume, ...link, sourceFormat: 'qcow2', digest: `blake3:${'0'.repeat(64)}` }],
      writtenBy: { program: 'holdfast-agent', version: '1', host: 'h', operationId: randomUUID() },
    };
    await writeFile(join(folderOf(id), 'manifest.json'), JSON.stringify(manifest));
  }

  async function survey(): Promise<Map<string, SurveyedEntry>> {
    const found: SurveyedEntry[] = [];
    for await (const entries of surveyStorage(ports, storage, new AbortController().signal)) found.push(...entries);
    return new Map(found.map((entry) => [entry.path, entry]));
  }

  const relative = (path: string): string => path.slice(root().length + 1);
  const kept = async (path: string, how: { folder?: boolean; deletedBackup?: boolean } = {}): Promise<string | undefined> => {
    const wish = { path: relative(path), folder: how.folder === true, deletedBackup: how.deletedBackup === true };
    return (await removeFromStorage(ports, storage, [wish]))[0]?.kept?.code;
  };
  const exists = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );

  it('tells everything that lies on a storage, with headers and manifests, and writes nothing', async () => {
    const [b1, b2] = [randomUUID(), randomUUID()];
    await backup(b1);
    await backup(b2, b1);
    await writeFile(join(folderOf(b1), 'torn.qcow2'), 'no image');
    await writeFile(join(root(), 'backups', 'odd\tname\n'), '');
    const disk = `<disk type='file'><source file='/p/a&amp;b.qcow2'/><target dev='vda'/><serial>s1</serial></disk>`;
    await writeFile(join(folderOf(b1), 'domain.xml'), `<domain><devices>${disk}</devices></domain>`);
    await writeFile(join(folderOf(b2), 'domain.xml'), 'no definition');
    const before = await run(['find', root(), '-newermt', '1 hour ago', '-printf', '%p %T@\\n']);
    const found = await survey();
    expect(found.get(relative(file(b2)))).toMatchObject({ kind: 'file', backingName: `../${b1}/${KEY}.qcow2` });
    expect(found.get(relative(file(b1)))).toMatchObject({ backingName: '', sizeBytes: BigInt((await stat(file(b1))).size) });
    expect(found.get(`backups/${VM}/${b1}/manifest.json`)?.manifest).toContain(b1);
    const disks = [{ target: 'vda', serial: 's1', path: '/p/a&b.qcow2' }];
    expect(found.get(`backups/${VM}/${b1}/domain.xml`)).toMatchObject({ kind: 'file', disks });
    expect(found.get(`backups/${VM}/${b2}/domain.xml`)?.problem).not.toBe('');
    expect(found.get(`backups/${VM}/${b1}/torn.qcow2`)?.problem).not.toBe('');
    expect(found.get(`backups/${VM}/${b1}`)?.kind).toBe('directory');
    expect(found.has('backups/odd\tname\n')).toBe(true);
    expect(found.size).toBe(1 + 2 + 6 + 1 + 1);
    expect(await run(['find', root(), '-newermt', '1 hour ago', '-printf', '%p %T@\\n'])).toBe(before);
    await rm(root(), { recursive: true });
    await expect(survey()).rejects.toMatchObject({ code: 'STORAGE_MISSING' });
  });

  it('removes a folder that is no backup, a partial file and a deleted backup, and frees what it says', async () => {
    const [b1, b2, torn] = [randomUUID(), randomUUID(), randomUUID()];
    await backup(b1);
    await backup(b2, b1);
    await image(file(torn));
    await writeFile(join(folderOf(torn), 'manifest.json.partial'), '{');
    await writeFile(`${file(b1)}.partial`, 'x'.repeat(5000));
    const [freed] = await removeFromStorage(ports, storage, [
      { path: relative(`${file(b1)}.partial`), folder: false, deletedBackup: false },
    ]);
    expect(freed).toEqual({ path: relative(`${file(b1)}.partial`), freedBytes: 8192n, kept: undefined });
    expect(await kept(folderOf(torn), { folder: true })).toBeUndefined();
    expect(await kept(folderOf(b2), { folder: true, deletedBackup: true })).toBeUndefined();
    expect(await readdir(join(root(), 'backups', VM))).toEqual([b1]);
    expect(await kept(folderOf(b1), { folder: true, deletedBackup: true })).toBeUndefined();
    expect(await readdir(join(root(), 'backups'))).toEqual([]);
    expect(await kept(folderOf(b1), { folder: true })).toBeUndefined();
  });

  it('keeps whatever something needs, may need, or works on', async () => {
    const [b1, b2, torn] = [randomUUID(), randomUUID(), randomUUID()];
    await backup(b1);
    await backup(b2, b1);
    await image(file(torn));
    expect(await kept(folderOf(b1), { folder: true })).toBe('FILE_IN_USE');
    expect(await kept(folderOf(b1), { folder: true, deletedBackup: true })).toBe('FILE_IN_USE');
    expect(await kept(file(b2))).toBe('FILE_IN_USE');
    expect(await kept(join(folderOf(b2), 'domain.xml'))).toBe('FILE_IN_USE');
    busy.add(VM);
    expect(await kept(folderOf(torn), { folder: true })).toBe('VM_BUSY');
    busy.clear();
    await writeFile(join(folderOf(b2), 'manifest.json'), '{"schemaVersion":99}');
    expect(await kept(folderOf(torn), { folder: true })).toBe('WRONG_STATE');
    for (const path of [
      'holdfast.json',
      'backups',
      `backups/${VM}`,
      `backups/${VM}/../../holdfast.json`,
      `backups/${VM}/${b1}/..`,
    ]) {
      for (const folder of [true, false])
        expect(await kept(join(root(), '.').replace(/\.$/, '') + path, { folder })).toBe('INVALID_INPUT');
    }
    await rm(folderOf(b2), { recursive: true });
    await mkdir(join(folderOf(torn), 'sub'));
    expect(await kept(folderOf(torn), { folder: true })).toBe('FILE_IN_USE');
    expect(await exists(file(torn))).toBe(true);
  });

  it('finds layers of ours in the pools, and removes only what no VM, image or process uses', async () => {
    const pool = ports.primaryPools[0] ?? '';
    const [base, lower, upper] = [
      join(pool, 'deep/vol.qcow2'),
      ...['hf', 'hs'].map((end) => join(pool, `deep/vol.${randomUUID()}.${end}.qcow2`)),
    ];
    await image(base);
    await image(lower ?? '', base);
    await image(upper ?? '', lower);
    await writeFile(join(pool, 'deep', 'mine.hf.qcow2'), '');
    ports.primaryPools.push(join(dir, 'outside'));
    const { layers, silentPools } = await surveyPrimary(ports);
    expect(layers.map(({ path }) => path).sort()).toEqual([lower, upper].sort());
    expect(silentPools).toEqual([join(dir, 'outside')]);
    const [one, two] = [lower, upper].map((path) => layers.find((layer) => layer.path === path) ?? { path: '', inode: 0n });
    const code = async (layer = one): Promise<string | undefined> =>
      (await removeLayers(ports, [layer ?? { path: '', inode: 0n }]))[0]?.kept?.code;
    expect(await code(one)).toBe('FILE_IN_USE');
    used.add(two?.path ?? '');
    expect(await code(two)).toBe('FILE_IN_USE');
    used.clear();
    expect(await code({ path: two?.path ?? '', inode: 1n })).toBe('PLAN_OUTDATED');
    expect(await code({ path: base, inode: 1n })).toBe('INVALID_INPUT');
    expect(await code({ path: join('/etc', `x.${randomUUID()}.hf.qcow2`), inode: 1n })).toBe('PATH_OUTSIDE_POOLS');
    expect(await code(two)).toBeUndefined();
    expect(await code(one)).toBeUndefined();
    expect(await code(one)).toBeUndefined();
    expect((await readdir(join(pool, 'deep'))).sort()).toEqual(['mine.hf.qcow2', 'vol.qcow2']);
  });

  it('finds what restores and reverts left in the pools, and removes only what nothing uses or is making', async () => {
    const pool = ports.primaryPools[0] ?? '';
    const [restored, clone] = [join(pool, 'd/vol 1.0a1b2c3d.restored.qcow2'), join(pool, 'd/clone.qcow2')];
    const [torn, empty] = [join(pool, 'd/vol.0a1b2c3d.restored.qcow2.partial'), join(pool, 'd/vol.0a1b2c3d.hr.qcow2.partial')];
    const others = ['vol.restored.qcow2', 'vol.0a1b2c3d.restored.qcow2.partial.old', 'x.0a1b2c3d.qcow2.partial', 'disk.qcow2'];
    await image(restored);
    await image(clone, restored);
    await writeFile(torn, 'x'.repeat(5000));
    await writeFile(empty, '');
    for (const name of others) await writeFile(join(pool, 'd', name), '');
    const { layers } = await surveyPrimary(ports);
    expect(layers.map(({ path }) => path).sort()).toEqual([restored, torn, empty].sort());
    const code = async (path: string): Promise<string | undefined> =>
      (await removeLayers(ports, [layers.find((layer) => layer.path === path) ?? { path, inode: 0n }]))[0]?.kept?.code;
    restoring = true;
    for (const { path } of layers) expect(await code(path)).toBe('VM_BUSY');
    restoring = false;
    expect(await code(restored)).toBe('FILE_IN_USE');
    await rm(clone);
    used.add(restored);
    expect(await code(restored)).toBe('FILE_IN_USE');
    used.clear();
    expect(await code(join(pool, 'd/disk.qcow2'))).toBe('INVALID_INPUT');
    for (const path of [restored, torn, empty]) expect(await code(path)).toBeUndefined();
    expect((await readdir(join(pool, 'd'))).sort()).toEqual([...others].sort());
  });
});
