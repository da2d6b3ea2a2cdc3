/**
 * What a file is, asked from outside the agent's own process: a hung mount makes the answer late, never the agent dead.
 * Owns the words of `find` and `realpath`. Reads names and inodes only, never content.
 */
import { basename, dirname } from 'node:path';
import type { ToolResult, ToolRunner } from '../process/tool-runner.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

export interface FileFacts {
  /** Device and inode, as one text: equal for two names of one file. */
  readonly identity: string;
  readonly inode: bigint;
  /** Time of the last change with its fraction, as text: only ever compared. */
  readonly modified: string;
  readonly sizeBytes: bigint;
  readonly allocatedBytes: bigint;
  readonly regular: boolean;
}

const DEADLINE_MS = 20_000;
/** Resolving a root that may be a link. */
const ROOT_MS = 5_000;

/**
 * Facts of those paths that exist (symbolic links followed), in one call. A path that is absent has no entry, and neither has
 * one that cannot be looked at: where that makes a difference, `isAbsent` tells.
 */
export async function fileFacts(tools: ToolRunner, paths: readonly string[]): Promise<Map<string, FileFacts>> {
  const facts = new Map<string, FileFacts>();
  if (paths.length === 0) return facts;
  for (const path of paths) demandAbsolute(path);
  const args = ['-H', ...paths, '-maxdepth', '0', '-printf', '%D\\t%i\\t%T@\\t%s\\t%b\\t%y\\t%p\\0'];
  // find reports absent files by its exit code as well; what matters is who is in the answer.
  const { stdout } = await tools.run('find', args, { deadlineMs: DEADLINE_MS });
  for (const record of stdout.split('\0').filter((text) => text !== '')) {
    const [device, inode, modified, size, blocks, kind, ...name] = record.split('\t');
    facts.set(name.join('\t'), {
      identity: `${device}:${inode}`,
      inode: BigInt(inode ?? '0'),
      modified: modified ?? '',
      sizeBytes: BigInt(size ?? '0'),
      allocatedBytes: BigInt(blocks ?? '0') * 512n,
      regular: kind === 'f',
    });
  }
  return facts;
}

/**
 * find and stat fail alike for "not there" and "cannot be looked at" (a failing storage, a stale handle), and only the first is
 * an answer: absent means that the directory above could be read and has no such name, or is itself absent. Not decided by
 * the text of an error. `find`: runs find with a deadline.
 */
export async function isAbsent(find: (args: readonly string[]) => Promise<ToolResult>, path: string): Promise<boolean> {
  const parent = dirname(path);
  if (parent === path) return false;
  const names = await namesIn(find, parent);
  return names === undefined ? isAbsent(find, parent) : !names.includes(basename(path));
}

/** Undefined when the directory cannot be read or does not exist. NUL keeps every name apart. */
export async function namesIn(
  find: (args: readonly string[]) => Promise<ToolResult>,
  directory: string,
): Promise<string[] | undefined> {
  const result = await find(['-H', directory, '-mindepth', '1', '-maxdepth', '1', '-printf', '%f\\0']);
  return result.exitCode === 0 ? result.stdout.split('\0').slice(0, -1).sort() : undefined;
}

/** TOOL_FAILED for a path without facts that may be there all the same. */
export async function demandAbsent(tools: ToolRunner, path: string): Promise<void> {
  if (await isAbsent((args) => tools.run('find', args, { deadlineMs: DEADLINE_MS }), path)) return;
  // What was made a moment ago is there as well, and is seen at the next look.
  throw new HoldfastError('TOOL_FAILED', `${path} may be there, but cannot be looked at. Look at its storage.`, {
    tool: 'find',
    path,
  });
}

/** Each path with every symbolic link resolved, in the given order; parts that do not exist stay as they are. */
export async function realPaths(tools: ToolRunner, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  for (const path of paths) demandAbsolute(path);
  const stdout = await tools.must('realpath', ['-z', '-m', '--', ...paths], { deadlineMs: DEADLINE_MS });
  const resolved = stdout.split('\0').slice(0, -1);
  if (resolved.length !== paths.length) {
    throw new HoldfastError('BUG', `realpath answered ${resolved.length} names for ${paths.length} paths.`, {});
  }
  return resolved;
}

/**
 * True when a resolved path is one of the roots or below one. A root may be a link itself: roots are resolved only when the
 * path is in none as they are written, each by itself, so that a root that hangs holds up only what is not elsewhere.
 */
export async function isInsideRoots(tools: ToolRunner, real: string, roots: readonly string[]): Promise<boolean> {
  if (roots.some((root) => isInside(real, root))) return true;
  const inside = roots.map(async (root) => {
    const resolved = await tools.run('realpath', ['-z', '-m', '--', root], { deadlineMs: ROOT_MS }).catch(() => undefined);
    return resolved?.exitCode === 0 && isInside(real, resolved.stdout.slice(0, -1));
  });
  return (await Promise.all(inside)).includes(true);
}

function isInside(path: string, root: string): boolean {
  return path === root || path.startsWith(root.endsWith('/') ? root : `${root}/`);
}

/** Tools read other names than absolute ones as protocols or options. */
export function demandAbsolute(path: string): void {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new HoldfastError('INVALID_INPUT', `${JSON.stringify(path)} is not an absolute path.`, { path });
  }
}
