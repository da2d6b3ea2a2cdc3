/** The files of pairs that the libvirt hook reads, each kept in memory as well. Owns that both say the same; knows no VM. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeDurably } from '../operations/durable-file.js';
import { parsePairs, printPairs, type GuardPair } from './guard-record.js';

export class GuardFiles {
  private readonly known = new Map<string, readonly GuardPair[]>();

  /** `<stateDir>/hook`. */
  constructor(private readonly dir: string) {}

  /** None for a file that is not there. */
  async read(name: string): Promise<readonly GuardPair[]> {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    const text = await readFile(join(this.dir, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const pairs = parsePairs(text);
    this.known.set(name, pairs);
    return pairs;
  }

  /** Durable when it returns. No pairs: no file. What is there already is not written again. */
  async write(name: string, pairs: readonly GuardPair[]): Promise<void> {
    if (printPairs(pairs) === printPairs(await this.read(name))) return;
    if (pairs.length === 0) await this.remove(name);
    else await writeDurably(join(this.dir, name), printPairs(pairs));
    this.known.set(name, pairs);
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.dir, name), { force: true });
    await syncDirectory(this.dir);
  }
}
