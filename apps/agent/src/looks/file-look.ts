/**
 * Files as they are at one look: facts and real name of each, asked once for all expected files of a folder. Owns the
 * grouping. Lives as long as the look: nothing that it says is true later. A folder that hangs holds up its own files only.
 */
import { dirname } from 'node:path';
import type { FileFacts, FileLooks } from './file-looks.js';

export interface SeenFile {
  /** Undefined: there is no such file, or it cannot be looked at. */
  readonly facts: FileFacts | undefined;
  /** Every symbolic link resolved. */
  readonly realPath: string;
}

export class FileLook {
  private readonly asked = new Map<string, Promise<ReadonlyMap<string, SeenFile>>>();

  /** `expected`: paths that will most likely be asked for. Others may be; they cost questions of their own. */
  constructor(
    private readonly looks: FileLooks,
    private readonly expected: readonly string[],
  ) {}

  async at(path: string): Promise<SeenFile> {
    const folder = dirname(path);
    const paths = this.expected.includes(path) ? [...new Set(this.expected.filter((one) => dirname(one) === folder))] : [path];
    const key = paths[0] ?? path;
    const answer = this.asked.get(key) ?? seeFiles(this.looks, paths);
    this.asked.set(key, answer);
    // Every path that was asked for has an entry.
    return (await answer).get(path) as SeenFile;
  }
}

/** Facts and real name of each path, asked for all of them together. */
export async function seeFiles(looks: FileLooks, paths: readonly string[]): Promise<ReadonlyMap<string, SeenFile>> {
  const [facts, real] = await Promise.all([looks.facts(paths), looks.realPaths(paths)]);
  return new Map(paths.map((path, index) => [path, { facts: facts.get(path), realPath: real[index] ?? path }]));
}
