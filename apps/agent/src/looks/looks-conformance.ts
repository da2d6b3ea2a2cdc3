/** What every FileLooks must say of the same files. Owns the cases; tests run them on each adapter. Makes its files in a folder of its own. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { chmod, link, mkdir, mkdtemp, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileLooks } from './file-looks.js';

const NAMES = ['a "quoted" name', 'line\nend', 'star*?[x]', 'tab\tbed', 'émigré', '.hidden'];

/** Cases of one adapter; inside a `describe`. `dangling`: it has an answer for a link that leads to nothing. */
export function looksConformance(looks: () => FileLooks, { dangling }: { readonly dangling: boolean }): void {
  let dir = '';
  const at = (...names: string[]): string => join(dir, ...names);
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-looks-'));
    await mkdir(at('folder'));
    for (const name of NAMES) await writeFile(at('folder', name), name);
    await writeFile(at('sparse'), 'data');
    await truncate(at('sparse'), 1024 * 1024);
    await utimes(at('sparse'), 1_700_000_000.25, 1_700_000_000.25);
    await symlink(at('folder'), at('to-folder'));
    await symlink('folder/.hidden', at('to-file'));
    await symlink('/nowhere/at/all', at('to-nothing'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('tells facts of what exists, links followed, and has no entry for the rest', async () => {
    const asked = ['sparse', 'folder', 'to-folder', 'to-file', 'gone', 'sparse/below', 'no/such'].map((name) => at(name));
    const facts = await looks().facts(asked);
    expect([...facts.keys()].sort()).toEqual(['folder', 'sparse', 'to-file', 'to-folder'].map((name) => at(name)));
    const { ino, dev, blocks } = await stat(at('sparse'), { bigint: true });
    expect(facts.get(at('sparse'))).toEqual({
      kind: 'file',
      identity: `${dev}:${ino}`,
      inode: ino,
      modified: '1700000000.2500000000',
      sizeBytes: 1_048_576n,
      allocatedBytes: blocks * 512n,
    });
    expect(facts.get(at('to-folder'))).toEqual(facts.get(at('folder')));
    expect(facts.get(at('folder'))?.kind).toBe('directory');
    expect(facts.get(at('to-file'))).toMatchObject({ kind: 'file', sizeBytes: 7n });
    expect(await looks().facts([])).toEqual(new Map());
    await expect(looks().realPaths(['relative'])).rejects.toThrow();
  });

  it('gives two names of one file one identity', async () => {
    await link(at('sparse'), at('again'));
    const facts = await looks().facts([at('sparse'), at('again')]);
    expect(facts.get(at('again'))).toEqual(facts.get(at('sparse')));
  });

  it('tells the entries of a folder as they are, whatever their names', async () => {
    expect([...(await looks().entries(at('folder'), [...NAMES, 'none', 'star*'])).keys()].sort()).toEqual([...NAMES].sort());
    const found = await looks().entries(dir, ['to-file', 'to-nothing', 'folder']);
    expect([...found].map(([name, { kind }]) => [name, kind]).sort()).toEqual([
      ['folder', 'directory'],
      ['to-file', 'other'],
      ['to-nothing', 'other'],
    ]);
    expect(await looks().entries(at('gone'), ['x'])).toEqual(new Map());
  });

  it('lists names, sorted; a file has none', async () => {
    expect(await looks().names(at('to-folder'))).toEqual([...NAMES].sort());
    expect(await looks().names(at('gone'))).toBeUndefined();
    expect(await looks().names(at('sparse'))).toEqual([]);
    expect(await looks().names(at('to-nothing'))).toEqual([]);
    expect(await looks().names(at('sparse', 'below'))).toBeUndefined();
  });

  it('calls absent only what is not there, not even as a link', async () => {
    for (const name of ['gone', 'gone/below', 'sparse/below', 'to-nothing/below'])
      expect(await looks().isAbsent(at(name))).toBe(true);
    for (const name of ['sparse', 'folder', 'to-nothing']) expect(await looks().isAbsent(at(name))).toBe(false);
    expect(await looks().isAbsent('/')).toBe(false);
  });

  it('resolves links and dots, and what is not there as far as it goes', async () => {
    const asked = [
      'to-folder/.hidden',
      'to-folder/../sparse',
      'to-folder/new/x',
      'to-file',
      'to-nothing',
      'to-nothing/y',
      'gone/../z',
      './/sparse',
    ];
    expect(await looks().realPaths(asked.map((name) => `${dir}/${name}`))).toEqual([
      at('folder', '.hidden'),
      at('sparse'),
      at('folder', 'new', 'x'),
      at('folder', '.hidden'),
      '/nowhere/at/all',
      '/nowhere/at/all/y',
      at('z'),
      at('sparse'),
    ]);
  });

  it('reads small texts, and as much of a large one as was asked for', async () => {
    expect(await looks().text(at('folder', 'émigré'), 100)).toBe('émigré');
    expect(await looks().text(at('to-file'), 3)).toBe('.hi');
    expect(await looks().text(at('gone'), 3)).toBeUndefined();
    await writeFile(at('empty'), '');
    expect(await looks().text(at('empty'), 3)).toBe('');
    await expect(looks().text(at('folder'), 3)).rejects.toThrow();
  });

  it('knows the room of a file system and where it may be written', async () => {
    const { totalBytes, freeBytes } = await looks().space(dir);
    expect(totalBytes).toBeGreaterThan(freeBytes);
    expect(freeBytes).toBeGreaterThan(0n);
    await expect(looks().space(at('gone'))).rejects.toThrow();
    expect(await looks().isWritable(dir)).toBe(true);
    await chmod(at('sparse'), 0o400);
    // Root may write what nobody may.
    expect(await looks().isWritable(at('sparse'))).toBe(process.getuid?.() === 0);
  });

  if (dangling) {
    it('has facts of a link that leads to nothing: something is there', async () => {
      expect((await looks().facts([at('to-nothing')])).get(at('to-nothing'))?.kind).toBe('other');
    });
  }
}
