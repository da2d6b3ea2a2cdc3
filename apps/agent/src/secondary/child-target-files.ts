/**
 * TargetFiles by coreutils children: no call on a target runs inside the agent's process. Owns the argument arrays and what
 * their exit codes mean; every path is resolved (links and all) and must be inside a known root before it is used.
 */
import { basename, dirname } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ToolCall, ToolResult, ToolRunner } from '../process/tool-runner.js';
import { isAbsent, isInsideRoots, namesIn } from '../images/file-facts.js';
import type { KnownRoots } from './known-roots.js';
import type { FileFacts, TargetFiles, TreeEntry } from './target-files.js';
import { RECORD, literal, records } from './tree-records.js';

/** Metadata calls; a storage that does not answer them in this time hangs. */
const SHORT_MS = 30_000;
/** fsync and copies: as long as the slowest disk that works needs. */
const FLUSH_MS = 600_000;
const DIGEST_MS = 12 * 3_600_000;
const TEXT_LIMIT_BYTES = 1024 * 1024;

export class ChildTargetFiles implements TargetFiles {
  constructor(
    private readonly tools: ToolRunner,
    private readonly roots: Pick<KnownRoots, 'all'>,
  ) {}

  async stat(path: string): Promise<FileFacts | undefined> {
    return this.look([path], () => this.facts(path));
  }

  async isWritable(path: string): Promise<boolean> {
    const { exitCode } = await this.look([path], () => this.run('test', ['-w', path]));
    return exitCode === 0;
  }

  async list(path: string): Promise<string[] | undefined> {
    const names = await this.look([path], () => namesIn((args) => this.run('find', args), path));
    if (names !== undefined) return names;
    if (await this.isAbsent(path)) return undefined;
    throw new HoldfastError('TOOL_FAILED', `The directory ${path} cannot be read.`, { tool: 'find', path });
  }

  async tree(path: string, options: { named?: readonly string[]; signal?: AbortSignal } = {}): Promise<TreeEntry[] | undefined> {
    await this.check(path);
    const globs = (options.named ?? []).flatMap((glob) => ['-o', '-name', glob]).slice(1);
    const named = globs.length === 0 ? [] : ['(', ...globs, ')'];
    const args = ['-H', path, '-mindepth', '1', ...named, '-printf', RECORD];
    const result = await this.run('find', args, { deadlineMs: FLUSH_MS, ...(options.signal && { signal: options.signal }) });
    if (result.exitCode !== 0) {
      if (await this.isAbsent(path)) return undefined;
      throw failed('find', path, result);
    }
    return records(result.stdout).sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async readText(path: string): Promise<string | undefined> {
    await this.check(path);
    const result = await this.run('head', ['-c', String(TEXT_LIMIT_BYTES + 1), '--', path]);
    if (result.exitCode !== 0) {
      if ((await this.facts(path)) === undefined) return undefined;
      throw failed('head', path, result);
    }
    if (Buffer.byteLength(result.stdout) > TEXT_LIMIT_BYTES) {
      throw new HoldfastError(
        'WRONG_STATE',
        `The file ${path} is larger than a text of Holdfast can be (${TEXT_LIMIT_BYTES} bytes).`,
        { path },
      );
    }
    return result.stdout;
  }

  async writeText(path: string, text: string): Promise<void> {
    await this.check(path);
    await this.must('dd', [`of=${path}`, 'conv=fsync', 'status=none'], { deadlineMs: FLUSH_MS, input: text });
  }

  async copyFile(from: string, to: string): Promise<void> {
    await this.check(from, to);
    await this.must('cp', ['--sparse=auto', '-T', '--', from, to], { deadlineMs: FLUSH_MS });
    await this.must('sync', ['--', to], { deadlineMs: FLUSH_MS });
  }

  async makeDirectory(path: string): Promise<void> {
    await this.check(path);
    const made = await this.run('mkdir', ['--', path]);
    if (made.exitCode !== 0 && (await this.facts(path))?.kind !== 'directory') throw failed('mkdir', path, made);
    await this.must('sync', ['--', dirname(path)], { deadlineMs: FLUSH_MS });
  }

  async sync(paths: string | readonly string[], options: { deadlineMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const all = [paths].flat();
    await this.check(...all);
    await this.must('sync', ['--', ...all], {
      deadlineMs: options.deadlineMs ?? FLUSH_MS,
      ...(options.signal && { signal: options.signal }),
    });
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = await this.look([from, to], () => this.pair(from, to));
    if (source === undefined && target !== undefined) return;
    if (source === undefined)
      throw new HoldfastError('NOT_FOUND', `The file ${from} does not exist, so it cannot become ${to}.`, { path: from });
    if (target !== undefined)
      throw new HoldfastError('WRONG_STATE', `The file ${to} exists already; ${from} is not renamed over it.`, { path: to });
    await this.demandOneFileSystem(from, to);
    // -n is a rename that replaces nothing (RENAME_NOREPLACE), and silent when it did nothing: so look.
    await this.must('mv', ['-n', '-T', '--', from, to]);
    const [left, made] = await this.pair(from, to);
    if (left !== undefined || made === undefined || made.inode !== source.inode) {
      throw new HoldfastError(
        'WRONG_STATE',
        `${from} was not renamed to ${to}: something else made that name at the same time.`,
        { path: to },
      );
    }
  }

  async replace(from: string, to: string): Promise<void> {
    const [source, target] = await this.look([from, to], () => this.pair(from, to));
    if (target?.kind !== 'file') {
      throw new HoldfastError('NOT_FOUND', `There is no file ${to} that ${from} could replace.`, { path: to });
    }
    if (source === undefined) return;
    if (source.kind !== 'file') throw new HoldfastError('WRONG_STATE', `${from} is not a file.`, { path: from });
    await this.demandOneFileSystem(from, to);
    await this.must('mv', ['-f', '-T', '--', from, to]);
    const [left, made] = await this.pair(from, to);
    if (left !== undefined || made?.inode !== source.inode) {
      throw new HoldfastError('WRONG_STATE', `${from} did not take the place of ${to}.`, { path: to });
    }
  }

  async remove(path: string): Promise<void> {
    await this.check(path);
    await this.must('rm', ['-f', '--', path]);
  }

  async removeDirectory(path: string): Promise<void> {
    await this.check(path);
    const result = await this.run('rmdir', ['--', path]);
    if (result.exitCode !== 0 && (await this.facts(path)) !== undefined) throw failed('rmdir', path, result);
  }

  async space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }> {
    const said = await this.look([path], () => this.must('df', ['-B1', '--output=size,avail', '--', path]));
    const lines = said.trim().split('\n');
    const [total, free] = (lines[1] ?? '').trim().split(/\s+/);
    if (total === undefined || free === undefined)
      throw new HoldfastError('TOOL_FAILED', `df said nothing about ${path}.`, { tool: 'df', path });
    return { totalBytes: BigInt(total), freeBytes: BigInt(free) };
  }

  async digest(path: string, options: { signal?: AbortSignal } = {}): Promise<string> {
    await this.check(path);
    // One thread: a digest must not take the host's processors from its guests. No mmap: it reads in order, and fails cleanly.
    const out = await this.must('b3sum', ['--num-threads', '1', '--no-mmap', '--no-names', '--', path], {
      deadlineMs: DIGEST_MS,
      ...options,
    });
    return `blake3:${out.trim()}`;
  }

  /** mv copies between file systems, and a copy is not atomic. */
  private async demandOneFileSystem(from: string, to: string): Promise<void> {
    if (dirname(from) === dirname(to)) return;
    const devices = (await this.must('stat', ['-L', '-c', '%d', '--', dirname(from), dirname(to)])).trim().split('\n');
    if (devices[0] === devices[1]) return;
    throw new HoldfastError(
      'WRONG_STATE',
      `${from} and ${to} are on different file systems; a rename is possible inside one only.`,
      { path: from },
    );
  }

  /** Two names that a rename is about; each undefined when its folder can be read and does not have it. */
  private async pair(from: string, to: string): Promise<[TreeEntry | undefined, TreeEntry | undefined]> {
    if (dirname(from) === dirname(to)) {
      const found = await this.inFolder(dirname(from), [basename(from), basename(to)]);
      return [found.get(basename(from)), found.get(basename(to))];
    }
    const [source, target] = await Promise.all([from, to].map((path) => this.inFolder(dirname(path), [basename(path)])));
    return [source?.get(basename(from)), target?.get(basename(to))];
  }

  /** What the folder has under these names, in one call; nothing when there is no such folder. */
  private async inFolder(folder: string, names: readonly string[]): Promise<ReadonlyMap<string, TreeEntry>> {
    const wanted = names.flatMap((name, index) => [...(index === 0 ? [] : ['-o']), '-name', literal(name)]);
    const args = ['-H', folder, '-mindepth', '1', '-maxdepth', '1', '(', ...wanted, ')', '-printf', RECORD];
    const result = await this.run('find', args);
    if (result.exitCode === 0) return new Map(records(result.stdout).map((entry) => [entry.path, entry]));
    if (await this.isAbsent(folder)) return new Map();
    throw failed('find', folder, result);
  }

  private async facts(path: string): Promise<FileFacts | undefined> {
    const result = await this.run('stat', ['-L', '-c', '%f %s %b %B %i', '--', path]);
    if (result.exitCode !== 0) {
      if (await this.isAbsent(path)) return undefined;
      throw failed('stat', path, result);
    }
    const [mode = '0', size = '0', blocks = '0', blockSize = '0', inode = '0'] = result.stdout.trim().split(' ');
    const type = parseInt(mode, 16) & 0o170000;
    return {
      kind: type === 0o100000 ? 'file' : type === 0o040000 ? 'directory' : 'other',
      sizeBytes: BigInt(size),
      allocatedBytes: BigInt(blocks) * BigInt(blockSize),
      inode: BigInt(inode),
    };
  }

  private isAbsent(path: string): Promise<boolean> {
    return isAbsent((args) => this.run('find', args), path);
  }

  /**
   * Names, sizes and inodes, which nothing is opened for: asked beside the check, because a process costs more than the look.
   * Nothing is told of a path that is not ours.
   */
  private async look<T>(paths: readonly string[], ask: () => Promise<T>): Promise<T> {
    for (const path of paths) demandWellFormed(path);
    const [allowed, seen] = await Promise.allSettled([this.check(...paths), ask()]);
    if (allowed.status === 'rejected') throw allowed.reason;
    if (seen.status === 'rejected') throw seen.reason;
    return seen.value;
  }

  /** Every path, with all links resolved, is inside a known root. PATH_OUTSIDE_POOLS, INVALID_INPUT. */
  private async check(...paths: string[]): Promise<void> {
    for (const path of paths) demandWellFormed(path);
    const roots = this.roots.all();
    // A root itself may be a link, and leads where it leads.
    const asked = paths.filter((path) => !roots.includes(path));
    if (asked.length === 0) return;
    // -m: what does not exist yet is resolved as far as it exists.
    const resolved = (await this.must('realpath', ['-m', '-z', '--', ...asked])).split('\0').slice(0, -1);
    for (const [index, path] of asked.entries()) {
      const real = resolved[index] ?? '';
      if (await isInsideRoots(this.tools, real, roots)) continue;
      throw new HoldfastError(
        'PATH_OUTSIDE_POOLS',
        `The path ${path} (really ${real}) is outside of the directories that this agent may touch: ${roots.join(', ') || 'none'}.`,
        { path, resolved: real },
      );
    }
  }

  private run(tool: string, args: readonly string[], call: Partial<ToolCall> = {}): Promise<ToolResult> {
    return this.answered(args, this.tools.run(tool, args, { deadlineMs: SHORT_MS, ...call }));
  }

  private must(tool: string, args: readonly string[], call: Partial<ToolCall> = {}): Promise<string> {
    return this.answered(args, this.tools.must(tool, args, { deadlineMs: SHORT_MS, ...call }));
  }

  /** A target that does not answer in time is a target that hangs. */
  private async answered<T>(args: readonly string[], call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || thrown.code !== 'TIMED_OUT') throw thrown;
      const path = args.find((arg) => arg.startsWith('/') || arg.startsWith('of=/')) ?? '';
      throw new HoldfastError(
        'STORAGE_HANGING',
        `The storage below ${path} does not answer; it is tried again when it does.`,
        { path, ...thrown.fields },
        { cause: thrown },
      );
    }
  }
}

/** INVALID_INPUT. Anything else could be an option of the tool that it is given to, or several names in its answer. */
function demandWellFormed(path: string): void {
  if (path.startsWith('/') && !/[\0\n]/.test(path)) return;
  throw new HoldfastError('INVALID_INPUT', `The path ${JSON.stringify(path)} must be absolute, without NUL and line ends.`, {
    path,
  });
}

function failed(tool: string, path: string, result: ToolResult): HoldfastError {
  const stderr = result.stderr.slice(-2_000).trim();
  return new HoldfastError('TOOL_FAILED', `${tool} failed on ${path} with exit code ${result.exitCode}: ${stderr}`, {
    tool,
    path,
    exitCode: String(result.exitCode),
    stderr,
  });
}
