/**
 * TargetFiles by coreutils children, and looks: no call on a target runs inside the agent's process. Owns the argument arrays of what
 * changes something and what their exit codes mean; every path is resolved (links and all) and must be inside a known root
 * before it is used.
 */
import { basename, dirname } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { factsOrAbsent, namesOrAbsent } from '../looks/found-or-absent.js';
import type { FileFacts, FileLooks } from '../looks/file-looks.js';
import { isInsideRoots } from '../looks/inside-roots.js';
import { askedAtOnce } from '../process/asked-at-once.js';
import { failedOnPath } from '../process/failed-on-path.js';
import type { ToolCall, ToolResult, ToolRunner } from '../process/tool-runner.js';
import type { KnownRoots } from './known-roots.js';
import type { TargetFiles, TreeEntry } from './target-files.js';
import { RECORD, records } from './tree-records.js';

/** Metadata calls; a storage that does not answer them in this time hangs. */
const SHORT_MS = 30_000;
/** fsync and copies: as long as the slowest disk that works needs. */
const FLUSH_MS = 600_000;
const DIGEST_MS = 12 * 3_600_000;
const TEXT_LIMIT_BYTES = 1024 * 1024;

export class ChildTargetFiles implements TargetFiles {
  constructor(
    private readonly tools: ToolRunner,
    private readonly looks: FileLooks,
    private readonly roots: Pick<KnownRoots, 'all'>,
  ) {}

  async stat(path: string): Promise<FileFacts | undefined> {
    return this.look([path], () => this.facts(path));
  }

  async isWritable(path: string): Promise<boolean> {
    return this.look([path], () => this.looks.isWritable(path));
  }

  async list(path: string): Promise<string[] | undefined> {
    return this.look([path], () => namesOrAbsent(this.looks, path));
  }

  async tree(path: string, options: { named?: readonly string[]; signal?: AbortSignal } = {}): Promise<TreeEntry[] | undefined> {
    await this.check(path);
    const globs = (options.named ?? []).flatMap((glob) => ['-o', '-name', glob]).slice(1);
    const named = globs.length === 0 ? [] : ['(', ...globs, ')'];
    const args = ['-H', path, '-mindepth', '1', ...named, '-printf', RECORD];
    const result = await this.run('find', args, { deadlineMs: FLUSH_MS, ...(options.signal && { signal: options.signal }) });
    if (result.exitCode !== 0) {
      if (await this.heard(path, this.looks.isAbsent(path))) return undefined;
      throw failedOnPath('find', path, result);
    }
    return records(result.stdout).sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async readText(path: string): Promise<string | undefined> {
    await this.check(path);
    const text = await this.heard(path, this.looks.text(path, TEXT_LIMIT_BYTES + 1));
    if (text === undefined) return undefined;
    if (Buffer.byteLength(text) > TEXT_LIMIT_BYTES) {
      throw new HoldfastError(
        'WRONG_STATE',
        `The file ${path} is larger than a text of Holdfast can be (${TEXT_LIMIT_BYTES} bytes).`,
        { path },
      );
    }
    return text;
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
    if (made.exitCode !== 0 && (await this.heard(path, this.facts(path)))?.kind !== 'directory')
      throw failedOnPath('mkdir', path, made);
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
    if (result.exitCode !== 0 && (await this.heard(path, this.facts(path))) !== undefined)
      throw failedOnPath('rmdir', path, result);
  }

  async space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }> {
    return this.look([path], () => this.looks.space(path));
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
  private async pair(from: string, to: string): Promise<[FileFacts | undefined, FileFacts | undefined]> {
    if (dirname(from) === dirname(to)) {
      const found = await this.heard(from, this.looks.entries(dirname(from), [basename(from), basename(to)]));
      return [found.get(basename(from)), found.get(basename(to))];
    }
    const [source, target] = await askedAtOnce(
      [from, to].map((path) => this.heard(path, this.looks.entries(dirname(path), [basename(path)]))),
    );
    return [source?.get(basename(from)), target?.get(basename(to))];
  }

  private facts(path: string): Promise<FileFacts | undefined> {
    return factsOrAbsent(this.looks, path);
  }

  /**
   * Names, sizes and inodes, which nothing is opened for: asked beside the check, because it may take a process of its own.
   * Nothing is told of a path that is not ours.
   */
  private async look<T>(paths: readonly string[], ask: () => Promise<T>): Promise<T> {
    for (const path of paths) demandWellFormed(path);
    const [, seen] = await askedAtOnce([this.check(...paths), this.heard(paths[0] ?? '', ask())]);
    return seen;
  }

  /** Every path, with all links resolved, is inside a known root. PATH_OUTSIDE_POOLS, INVALID_INPUT. */
  private async check(...paths: string[]): Promise<void> {
    for (const path of paths) demandWellFormed(path);
    const roots = this.roots.all();
    // A root itself may be a link, and leads where it leads.
    const asked = paths.filter((path) => !roots.includes(path));
    if (asked.length === 0) return;
    const resolved = await this.heard(asked[0] ?? '', this.looks.realPaths(asked));
    for (const [index, path] of asked.entries()) {
      const real = resolved[index] ?? '';
      if (await isInsideRoots(this.looks, real, roots)) continue;
      throw new HoldfastError(
        'PATH_OUTSIDE_POOLS',
        `The path ${path} (really ${real}) is outside of the directories that this agent may touch: ${roots.join(', ') || 'none'}.`,
        { path, resolved: real },
      );
    }
  }

  private run(tool: string, args: readonly string[], call: Partial<ToolCall> = {}): Promise<ToolResult> {
    return this.heard(pathIn(args), this.tools.run(tool, args, { deadlineMs: SHORT_MS, ...call }));
  }

  private must(tool: string, args: readonly string[], call: Partial<ToolCall> = {}): Promise<string> {
    return this.heard(pathIn(args), this.tools.must(tool, args, { deadlineMs: SHORT_MS, ...call }));
  }

  /** A target that does not answer in time is a target that hangs. */
  private async heard<T>(path: string, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || thrown.code !== 'TIMED_OUT') throw thrown;
      throw new HoldfastError(
        'STORAGE_HANGING',
        `The storage below ${path} does not answer; it is tried again when it does.`,
        { ...thrown.fields, path },
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

function pathIn(args: readonly string[]): string {
  return args.find((arg) => arg.startsWith('/') || arg.startsWith('of=/')) ?? '';
}
