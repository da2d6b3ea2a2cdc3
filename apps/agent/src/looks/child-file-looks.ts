/**
 * FileLooks by a child process for each question. Owns the words of `find`, `realpath`, `head`, `df` and `test`, and what their
 * exit codes mean.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { failedOnPath } from '../process/failed-on-path.js';
import type { ToolResult, ToolRunner } from '../process/tool-runner.js';
import { demandAbsolute } from './demand-absolute.js';
import type { FileFacts, FileLooks } from './file-looks.js';
import { isUnlisted } from './is-unlisted.js';

/** A target that does not answer such a question in this time hangs. */
const DEADLINE_MS = 30_000;
/** As `record` reads it. */
const FACTS = '%y\\t%D\\t%i\\t%T@\\t%s\\t%b\\t';

export class ChildFileLooks implements FileLooks {
  constructor(private readonly tools: ToolRunner) {}

  async facts(paths: readonly string[]): Promise<Map<string, FileFacts>> {
    if (paths.length === 0) return new Map();
    for (const path of paths) demandAbsolute(path);
    // find reports absent files by its exit code as well; what matters is who is in the answer.
    const { stdout } = await this.run('find', ['-H', ...paths, '-maxdepth', '0', '-printf', `${FACTS}%p\\0`], paths[0]);
    return records(stdout);
  }

  async entries(folder: string, names: readonly string[]): Promise<Map<string, FileFacts>> {
    demandAbsolute(folder);
    const wanted = names.flatMap((name, index) => [...(index === 0 ? [] : ['-o']), '-name', literal(name)]);
    const args = ['-H', folder, '-mindepth', '1', '-maxdepth', '1', '(', ...wanted, ')', '-printf', `${FACTS}%P\\0`];
    const result = await this.run('find', args, folder);
    if (result.exitCode === 0) return records(result.stdout);
    if (await this.isAbsent(folder)) return new Map();
    throw failedOnPath('find', folder, result);
  }

  /** NUL keeps every name apart. */
  async names(directory: string): Promise<string[] | undefined> {
    demandAbsolute(directory);
    const args = ['-H', directory, '-mindepth', '1', '-maxdepth', '1', '-printf', '%f\\0'];
    const result = await this.run('find', args, directory);
    return result.exitCode === 0 ? result.stdout.split('\0').slice(0, -1).sort() : undefined;
  }

  /**
   * find and stat fail alike for "not there" and "cannot be looked at" (a failing storage, a stale handle), and only the first is
   * an answer: absent means that the directory above could be read and has no such name, or is itself absent. Not decided by
   * the text of an error.
   */
  isAbsent(path: string): Promise<boolean> {
    return isUnlisted(this, path);
  }

  async realPaths(paths: readonly string[], deadlineMs = DEADLINE_MS): Promise<string[]> {
    if (paths.length === 0) return [];
    for (const path of paths) demandAbsolute(path);
    // -m: what does not exist yet is resolved as far as it exists.
    const result = await this.run('realpath', ['-z', '-m', '--', ...paths], paths[0], deadlineMs);
    if (result.exitCode !== 0) throw failedOnPath('realpath', paths[0] ?? '', result);
    const resolved = result.stdout.split('\0').slice(0, -1);
    if (resolved.length === paths.length) return resolved;
    throw new HoldfastError('BUG', `realpath answered ${resolved.length} names for ${paths.length} paths.`, {});
  }

  async text(path: string, mostBytes: number): Promise<string | undefined> {
    demandAbsolute(path);
    const result = await this.run('head', ['-c', String(mostBytes), '--', path], path);
    if (result.exitCode === 0) return result.stdout;
    if (await this.isAbsent(path)) return undefined;
    throw failedOnPath('head', path, result);
  }

  async space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }> {
    demandAbsolute(path);
    const result = await this.run('df', ['-B1', '--output=size,avail', '--', path], path);
    const [total, free] = (result.stdout.trim().split('\n')[1] ?? '').trim().split(/\s+/);
    if (result.exitCode !== 0 || total === undefined || free === undefined) throw failedOnPath('df', path, result);
    return { totalBytes: BigInt(total), freeBytes: BigInt(free) };
  }

  async isWritable(path: string): Promise<boolean> {
    demandAbsolute(path);
    return (await this.run('test', ['-w', path], path)).exitCode === 0;
  }

  private async run(tool: string, args: readonly string[], path = '', deadlineMs = DEADLINE_MS): Promise<ToolResult> {
    try {
      return await this.tools.run(tool, args, { deadlineMs });
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (error.code !== 'TIMED_OUT') throw error;
      throw new HoldfastError('TIMED_OUT', `Nothing was heard of ${path} in time: ${error.message}`, { ...error.fields, path });
    }
  }
}

function records(stdout: string): Map<string, FileFacts> {
  return new Map(stdout.split('\0').slice(0, -1).map(record));
}

function record(text: string): [string, FileFacts] {
  const [type, device, inode, modified = '', size, blocks, ...name] = text.split('\t');
  return [
    name.join('\t'),
    {
      kind: type === 'f' ? 'file' : type === 'd' ? 'directory' : 'other',
      identity: `${device}:${inode}`,
      inode: BigInt(inode ?? '0'),
      modified,
      sizeBytes: BigInt(size ?? '0'),
      allocatedBytes: BigInt(blocks ?? '0') * 512n,
    },
  ];
}

/** A file name as a pattern of `find -name` that fits it alone. */
function literal(name: string): string {
  return name.replace(/[\\*?[]/g, '\\$&');
}
