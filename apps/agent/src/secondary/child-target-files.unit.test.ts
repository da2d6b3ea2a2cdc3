import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { link, mkdir, mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../logging/silent-log.js';
import { ChildFileLooks } from '../looks/child-file-looks.js';
import { ExecaToolRunner } from '../process/execa-tool-runner.js';
import type { ToolRunner } from '../process/tool-runner.js';
import { ChildTargetFiles } from './child-target-files.js';
import { KnownRoots } from './known-roots.js';

function filesIn(root: string, tools: ToolRunner = new ExecaToolRunner(silentLog)): ChildTargetFiles {
  return new ChildTargetFiles(tools, new ChildFileLooks(tools), new KnownRoots([root]));
}

describe('ChildTargetFiles', () => {
  let base: string;
  let root: string;
  let files: ChildTargetFiles;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'holdfast-files-'));
    root = join(base, 'pool');
    await mkdir(root);
    files = filesIn(root);
  });
  afterEach(() => rm(base, { recursive: true, force: true }));

  it('tells what is there, with real sizes, and what is not', async () => {
    const path = join(root, 'a "quoted" name');
    await writeFile(path, 'data');
    await truncate(path, 1024 * 1024);
    const facts = await files.stat(path);
    expect(facts).toMatchObject({ kind: 'file', sizeBytes: 1048576n, inode: BigInt((await stat(path)).ino) });
    expect(facts?.allocatedBytes).toBeLessThan(1048576n);
    expect((await files.stat(root))?.kind).toBe('directory');
    expect(await files.stat(join(root, 'no', 'such', 'file'))).toBeUndefined();
    expect(await files.stat(join(path, 'below a file'))).toBeUndefined();
  });

  it('sees what comes between two looks at it, and does not call absent what cannot be looked at', async () => {
    const [file, folder] = [join(root, 'comes'), join(root, 'comes too')];
    const tools = new ExecaToolRunner(silentLog);
    class Slow extends ChildFileLooks {
      override async isAbsent(path: string): Promise<boolean> {
        await writeFile(file, '');
        await mkdir(folder, { recursive: true });
        return super.isAbsent(path);
      }
    }
    const late = new ChildTargetFiles(tools, new Slow(tools), new KnownRoots([root]));
    expect(await late.list(folder)).toEqual([]);
    await rm(file);
    expect(await late.stat(file)).toMatchObject({ kind: 'file' });
    class Blind extends ChildFileLooks {
      override facts = async () => new Map<string, never>();
    }
    const blind = new ChildTargetFiles(tools, new Blind(tools), new KnownRoots([root]));
    await expect(blind.stat(file)).rejects.toMatchObject({ code: 'TOOL_FAILED', fields: { path: file } });
  });

  it('lists every name, sorted, line ends and all', async () => {
    for (const name of ['b', 'a\nb', '.hidden']) await writeFile(join(root, name), '');
    expect(await files.list(root)).toEqual(['.hidden', 'a\nb', 'b']);
    expect(await files.list(join(root, 'none'))).toBeUndefined();
  });

  it('writes, replaces, reads and copies text', async () => {
    const path = join(root, 'manifest.json.partial');
    expect(await files.readText(path)).toBeUndefined();
    await files.writeText(path, 'a long first text');
    await files.writeText(path, 'é $HOME "q"');
    expect(await files.readText(path)).toBe('é $HOME "q"');
    await files.copyFile(path, join(root, 'copy'));
    expect(await readFile(join(root, 'copy'), 'utf8')).toBe('é $HOME "q"');
    await files.writeText(path, 'x'.repeat(1024 * 1024 + 1));
    await expect(files.readText(path)).rejects.toMatchObject({ code: 'WRONG_STATE' });
  });

  it('replaces a file that exists, and a repeat of a done replacement is fine', async () => {
    const [from, to] = [join(root, 'f.partial'), join(root, 'f')];
    await writeFile(from, 'new');
    await expect(files.replace(from, to)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await writeFile(to, 'old');
    const { ino } = await stat(from);
    await files.replace(from, to);
    await files.replace(from, to);
    expect(await readFile(to, 'utf8')).toBe('new');
    expect((await stat(to)).ino).toBe(ino);
    await expect(files.replace(join(root, 'f'), root)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await mkdir(from);
    await expect(files.replace(from, to)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(await readFile(to, 'utf8')).toBe('new');
  });

  it('renames onto a free name only, and a repeat of a done rename is fine', async () => {
    const [from, to] = [join(root, 'f.partial'), join(root, 'f')];
    await writeFile(from, 'new');
    await files.rename(from, to);
    await files.rename(from, to);
    expect(await readFile(to, 'utf8')).toBe('new');
    await writeFile(from, 'other');
    await expect(files.rename(from, to)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(await readFile(to, 'utf8')).toBe('new');
    await expect(files.rename(join(root, 'x'), join(root, 'y'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await link(to, join(root, 'same'));
    await expect(files.rename(to, join(root, 'same'))).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await mkdir(join(root, 'dir'));
    await expect(files.rename(from, join(root, 'dir'))).rejects.toMatchObject({ code: 'WRONG_STATE' });
  });

  it('makes and removes directories and files, and absent is fine', async () => {
    const dir = join(root, 'backups', 'vm');
    await expect(files.makeDirectory(dir)).rejects.toMatchObject({ code: 'TOOL_FAILED' });
    expect(await files.stat(join(root, 'backups'))).toBeUndefined();
    await files.makeDirectory(join(root, 'backups'));
    await files.makeDirectory(dir);
    await files.makeDirectory(dir);
    await files.sync([dir, join(root, 'backups')]);
    await expect(files.sync([dir, '/etc'])).rejects.toMatchObject({ code: 'PATH_OUTSIDE_POOLS' });
    await writeFile(join(dir, 'f'), '');
    await expect(files.removeDirectory(dir)).rejects.toMatchObject({ code: 'TOOL_FAILED' });
    await files.remove(join(dir, 'f'));
    await files.remove(join(dir, 'f'));
    await files.removeDirectory(dir);
    await files.removeDirectory(dir);
    expect(await files.list(join(root, 'backups'))).toEqual([]);
  });

  it('knows space and digests', async () => {
    const space = await files.space(root);
    expect(space.totalBytes).toBeGreaterThan(space.freeBytes);
    await writeFile(join(root, 'empty'), '');
    expect(await files.digest(join(root, 'empty'))).toBe(
      'blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    );
  });

  it('refuses what is outside of the known roots, also through links and dots', async () => {
    await writeFile(join(base, 'secret'), 's');
    await mkdir(join(base, 'pool-2'));
    await symlink(base, join(root, 'way-out'));
    await symlink(join(base, 'secret'), join(root, 'link'));
    for (const path of [
      '/etc/passwd',
      join(base, 'pool-2'),
      `${root}/../secret`,
      join(root, 'way-out', 'secret'),
      join(root, 'way-out', 'new', 'x'),
      join(root, 'link'),
    ]) {
      await expect(files.stat(path)).rejects.toMatchObject({ code: 'PATH_OUTSIDE_POOLS', fields: { path } });
      await expect(files.remove(path)).rejects.toMatchObject({ code: 'PATH_OUTSIDE_POOLS' });
    }
    await expect(files.stat('relative')).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(await readFile(join(base, 'secret'), 'utf8')).toBe('s');
  });

  it('works in a pool that is itself a link', async () => {
    await symlink(root, join(base, 'linked'));
    const linked = filesIn(join(base, 'linked'));
    await linked.writeText(join(base, 'linked', 'f'), 'x');
    expect(await readFile(join(root, 'f'), 'utf8')).toBe('x');
  });

  it('calls a target that does not answer a hanging storage', async () => {
    const late = () => Promise.reject(new HoldfastError('TIMED_OUT', 'late', { tool: 'realpath' }));
    const hanging = filesIn(root, { run: late, must: late });
    await expect(hanging.stat(join(root, 'f'))).rejects.toMatchObject({
      code: 'STORAGE_HANGING',
      retryable: true,
      fields: { path: join(root, 'f') },
    });
  });
});
