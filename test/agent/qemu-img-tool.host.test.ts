import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageFormat, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { run } from '../testbed/command.js';
import { imageTool } from './rig.js';

const images = imageTool();
const MiB = 1n << 20n;
/** Names that trip those who do not pass names as they are. */
const oddNames = [
  'plain.qcow2',
  `it's "a" <b> & c.qcow2`,
  'comma,,a=b,file=x.qcow2',
  'json:{"driver":"null-co"}.qcow2',
  'nbd:unix:sock.qcow2',
  'line\nbreak\ttab.qcow2',
  ' -leading and $(trailing) `x` \\ ;*? .qcow2',
  '-U',
  'ünïcode 日本.qcow2',
];

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-images-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function folder(name: string): Promise<string> {
  const path = join(dir, name);
  await mkdir(path, { recursive: true });
  return path;
}

async function write(path: string, pattern: number, offset: string, length: string): Promise<void> {
  const name = `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: path } })}`;
  await run(['qemu-io', '-c', `write -P ${pattern} ${offset} ${length}`, '-c', 'flush', name]);
}

async function digest(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** The chain of one disk; its error is thrown. */
async function chainOf(path: string, format: ImageFormat, roots: readonly string[]): Promise<ObservedLayer[]> {
  const [chain] = await images.chains([{ path, format }], roots);
  if (chain === undefined || chain instanceof Error) throw chain ?? new Error('no answer');
  return chain;
}

const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe('QemuImgTool with any file name', () => {
  it.each(oddNames)('creates, describes, copies, commits, repoints and compares %j', async (name) => {
    const here = await folder(`odd ${oddNames.indexOf(name)}`);
    const [base, top, other, copy, layered] = ['base ', 'top ', 'other ', 'copy ', 'layered '].map((part) =>
      join(here, part + name),
    ) as [string, string, string, string, string];
    await images.create(base, 8n * MiB);
    await write(base, 1, '0', '2M');
    await images.create(top, 8n * MiB, { name: base, format: 'qcow2' });
    await write(top, 2, '1M', '2M');
    expect(await images.info(top, 'qcow2')).toMatchObject({
      path: top,
      virtualSizeBytes: 8n * MiB,
      backingName: base,
      backingPath: base,
      backingFormat: 'qcow2',
    });
    const chain = await chainOf(top, 'qcow2', [here]);
    expect(chain.map((layer) => [layer.path, layer.inode])).toEqual([
      [top, (await stat(top, { bigint: true })).ino],
      [base, (await stat(base, { bigint: true })).ino],
    ]);
    const shares: number[] = [];
    await images.flatten({
      sourcePath: top,
      sourceFormat: 'qcow2',
      targetPath: copy,
      coroutines: 4,
      onProgress: (share) => shares.push(share),
    });
    expect(shares.at(-1)).toBe(1);
    await images.check(copy);
    expect((await images.info(copy, 'qcow2')).backingName).toBeUndefined();
    expect(await images.equal({ path: top, format: 'qcow2' }, { path: copy, format: 'qcow2' })).toBe(true);
    expect(await images.equal({ path: base, format: 'qcow2' }, { path: copy, format: 'qcow2' })).toBe(false);

    // The top layer alone, onto a copy of what is under it.
    await images.flatten({ sourcePath: base, sourceFormat: 'qcow2', targetPath: other, coroutines: 1 });
    await images.create(layered, 8n * MiB, { name: other, format: 'qcow2' });
    await images.copyLayerOnto({
      sourcePath: top,
      sourceFormat: 'qcow2',
      targetPath: layered,
      backingName: other,
      coroutines: 2,
    });
    expect(await images.equal({ path: top, format: 'qcow2' }, { path: layered, format: 'qcow2' })).toBe(true);
    expect((await images.info(layered, 'qcow2')).allocatedBytes).toBeLessThan(3n * MiB);

    const before = await digest(top);
    await images.commit(top, base);
    expect(await images.equal({ path: base, format: 'qcow2' }, { path: copy, format: 'qcow2' })).toBe(true);
    expect(await images.equal({ path: top, format: 'qcow2' }, { path: copy, format: 'qcow2' })).toBe(true);
    expect(before).toBe(await digest(top));
    await images.repoint(top, { name: other, format: 'qcow2' });
    expect((await images.info(top, 'qcow2')).backingName).toBe(other);
    await images.repoint(top, undefined);
    expect((await images.info(top, 'qcow2')).backingName).toBeUndefined();
    expect(await images.isLocked(top, 'qcow2')).toBe(false);
  });

  it('resolves relative backing names against the image that names them, and copies with them', async () => {
    const here = await folder('relative');
    await mkdir(join(here, 'a'));
    await mkdir(join(here, 'b'));
    const [a, b] = [join(here, 'a', 'vol.qcow2'), join(here, 'b', 'vol.qcow2')];
    await images.create(a, 4n * MiB);
    await write(a, 5, '0', '1M');
    await images.create(b, 4n * MiB, { name: '../a/vol.qcow2', format: 'qcow2' });
    const source = join(here, 'source.qcow2');
    await images.create(source, 4n * MiB, { name: 'a/vol.qcow2', format: 'qcow2' });
    await write(source, 6, '2M', '1M');
    await images.copyLayerOnto({
      sourcePath: source,
      sourceFormat: 'qcow2',
      targetPath: b,
      backingName: '../a/vol.qcow2',
      coroutines: 1,
    });
    expect(await images.equal({ path: source, format: 'qcow2' }, { path: b, format: 'qcow2' })).toBe(true);
    expect((await images.info(b, 'qcow2')).backingName).toBe('../a/vol.qcow2');
    expect((await chainOf(b, 'qcow2', [here])).map((layer) => layer.inode)).toContain((await stat(a, { bigint: true })).ino);
  });

  it('sees whether anything was ever written to a layer, were it zeros', async () => {
    const path = join(await folder('untouched'), 'top');
    await images.create(`${path}.base`, 4n * MiB);
    await write(`${path}.base`, 1, '0', '4M');
    await images.create(path, 4n * MiB, { name: `${path}.base`, format: 'qcow2' });
    expect(await images.isUntouched(path)).toBe(true);
    expect(await images.isUntouched(`${path}.base`)).toBe(false);
    await run(['qemu-io', '-f', 'qcow2', '-c', 'write -z 1M 64k', path]);
    expect(await images.isUntouched(path)).toBe(false);
    await expect(images.isUntouched(`${path}.gone`)).rejects.toMatchObject({ code: 'TOOL_FAILED' });
  });

  it('copies two layers onto one file, zeroed clusters included', async () => {
    const here = await folder('two layers');
    const path = (name: string) => join(here, name);
    await images.create(path('base'), 4n * MiB);
    await write(path('base'), 1, '0', '4M');
    await images.create(path('d1'), 4n * MiB, { name: path('base'), format: 'qcow2' });
    await write(path('d1'), 2, '1M', '1M');
    await images.create(path('x'), 4n * MiB, { name: path('d1'), format: 'qcow2' });
    await run(['qemu-io', '-f', 'qcow2', '-c', 'write -z 0 1M', '-c', 'write -P 3 1M 64k', path('x')]);
    await images.flatten({ sourcePath: path('base'), sourceFormat: 'qcow2', targetPath: path('s1'), coroutines: 1 });
    await images.create(path('s2'), 4n * MiB, { name: 's1', format: 'qcow2' });
    for (const layer of ['d1', 'x']) {
      await images.copyLayerOnto({
        sourcePath: path(layer),
        sourceFormat: 'qcow2',
        targetPath: path('s2'),
        backingName: 's1',
        coroutines: 1,
      });
    }
    expect(await images.equal({ path: path('x'), format: 'qcow2' }, { path: path('s2'), format: 'qcow2' })).toBe(true);
  });
});

describe('QemuImgTool refuses', () => {
  it('to overwrite a file', async () => {
    const path = join(await folder('exists'), 'x');
    await writeFile(path, 'precious');
    await expect(images.create(path, MiB)).rejects.toEqual(code('FILE_IN_USE'));
    await expect(images.flatten({ sourcePath: path, sourceFormat: 'raw', targetPath: path, coroutines: 1 })).rejects.toEqual(
      code('FILE_IN_USE'),
    );
    expect(await readFile(path, 'utf8')).toBe('precious');
  });

  it('names that are no absolute paths', async () => {
    for (const name of ['x.qcow2', 'json:{"driver":"null-co"}', '-U', ''])
      await expect(images.info(name, 'raw')).rejects.toEqual(code('INVALID_INPUT'));
  });

  it('a missing image, a missing layer and a layer outside the pools, naming the layer', async () => {
    const here = await folder('layers');
    const pool = await folder('layers/pool');
    await expect(images.info(join(pool, 'none'), 'qcow2')).rejects.toEqual(code('NOT_FOUND'));
    await images.create(join(here, 'outside'), MiB);
    await images.create(join(pool, 'a'), MiB, { name: join(here, 'outside'), format: 'qcow2' });
    await expect(chainOf(join(pool, 'a'), 'qcow2', [pool])).rejects.toMatchObject({
      code: 'PATH_OUTSIDE_POOLS',
      fields: { layer: join(here, 'outside') },
    });
    await symlink(join(here, 'outside'), join(pool, 'link'));
    await expect(chainOf(join(pool, 'link'), 'qcow2', [pool])).rejects.toEqual(code('PATH_OUTSIDE_POOLS'));
    expect(await chainOf(join(pool, 'a'), 'qcow2', [here])).toHaveLength(2);
    // A pool may be a link itself; what is written under its name is inside it.
    await symlink(here, join(here, 'pool link'));
    expect(await chainOf(join(here, 'pool link', 'outside'), 'qcow2', [join(here, 'pool link')])).toHaveLength(1);
    // One disk's error takes nothing from the other, and a wrong expectation changes nothing.
    const wishes = [
      { path: join(pool, 'a'), format: 'qcow2' as const, expected: [join(here, 'outside'), join(here, 'nothing')] },
      { path: join(pool, 'none'), format: 'qcow2' as const },
    ];
    const [readable, missing] = await images.chains(wishes, [here]);
    expect(readable).toHaveLength(2);
    expect(missing).toMatchObject({ code: 'BACKING_FILE_MISSING' });
    await rm(join(here, 'outside'));
    await expect(chainOf(join(pool, 'a'), 'qcow2', [here])).rejects.toMatchObject({
      code: 'BACKING_FILE_MISSING',
      fields: { layer: join(here, 'outside') },
    });
  });

  it('a backing file whose format is not written, one that is no file, and a chain that comes back', async () => {
    const here = await folder('formats');
    const path = (name: string) => join(here, name);
    await images.create(path('base'), MiB);
    await images.create(path('top'), MiB, { name: path('base'), format: 'qcow2' });
    await images.repoint(path('base'), { name: path('top'), format: 'qcow2' });
    await expect(chainOf(path('top'), 'qcow2', [here])).rejects.toEqual(code('CHAIN_UNEXPLAINED'));
    await images.create(path('net'), MiB);
    await images.repoint(path('net'), { name: 'nbd://localhost/x', format: 'raw' });
    await expect(chainOf(path('net'), 'qcow2', [here])).rejects.toEqual(code('DISK_UNSUPPORTED'));
    // qemu-img no longer writes a header without the format: the extension's type is made unknown by hand.
    const bytes = await readFile(path('net'));
    const at = bytes.indexOf(Buffer.from([0xe2, 0x79, 0x2a, 0xca]));
    bytes.writeUInt32BE(0x12345678, at);
    await writeFile(path('net'), bytes);
    await images.repoint(path('base'), undefined);
    const noFormat = path('no format');
    await writeFile(noFormat, bytes);
    expect((await images.info(noFormat, 'qcow2')).backingFormat).toBeUndefined();
  });

  it('to commit into a file that is not the direct backing, changing nothing', async () => {
    const here = await folder('not direct');
    const path = (name: string) => join(here, name);
    await images.create(path('base'), MiB);
    await images.create(path('mid'), MiB, { name: path('base'), format: 'qcow2' });
    await images.create(path('top'), MiB, { name: path('mid'), format: 'qcow2' });
    await expect(images.commit(path('top'), path('base'))).rejects.toEqual(code('CHAIN_UNEXPLAINED'));
  });

  it('damaged images, as a failed tool and not as a lock', async () => {
    const path = join(await folder('damaged'), 'x');
    await images.create(path, 8n * MiB);
    await write(path, 1, '0', '4M');
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length / 2));
    await expect(images.check(path)).rejects.toEqual(code('TOOL_FAILED'));
    await writeFile(path, 'no image at all');
    await expect(images.check(path)).rejects.toEqual(code('TOOL_FAILED'));
  });

  it('to go on after a cancel', async () => {
    const here = await folder('cancel');
    await images.create(join(here, 'a'), 64n * MiB);
    const controller = new AbortController();
    controller.abort();
    const call = images.flatten({
      sourcePath: join(here, 'a'),
      sourceFormat: 'qcow2',
      targetPath: join(here, 'b'),
      coroutines: 1,
      signal: controller.signal,
    });
    await expect(call).rejects.toEqual(code('CANCELLED'));
  });
});

describe('the lock probe', () => {
  it('changes nothing of an image, one with persistent bitmaps included', async () => {
    const path = join(await folder('probe'), 'x');
    await images.create(path, 8n * MiB);
    await run(['qemu-img', 'bitmap', '--add', path, 'b1']);
    const before = [await digest(path), (await stat(path, { bigint: true })).mtimeNs];
    expect(await images.isLocked(path, 'qcow2')).toBe(false);
    expect([await digest(path), (await stat(path, { bigint: true })).mtimeNs]).toEqual(before);
  });

  it('says that an absent file cannot be asked, instead of calling it free or locked', async () => {
    await expect(images.isLocked(join(dir, 'absent'), 'qcow2')).rejects.toEqual(code('TOOL_FAILED'));
  });
});
