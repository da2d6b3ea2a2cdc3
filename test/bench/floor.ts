/**
 * The floor: the bare work on the same data, with nothing that makes it safe. `qemu-img convert`, `sync` of the file, `b3sum`
 * with all processors. Owns a folder for what it writes and keeps nothing there but the last full copy, the base of increments.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runLong } from './stopwatch.js';

const parallel = ['-m', '8', '-W'];

export class Floor {
  private constructor(private readonly folder: string) {}

  static async create(folder: string): Promise<Floor> {
    await mkdir(folder, { recursive: true });
    return new Floor(folder);
  }

  /** A full copy of a disk that a VM has open (and does not write to). */
  async full(disk: string): Promise<void> {
    await this.convert(['-U', '-f', 'qcow2', '-O', 'qcow2', disk], this.fullFile);
    await runLong(['b3sum', this.fullFile]);
  }

  /** A copy of the topmost layer of a disk over the last full copy. */
  async incremental(delta: string): Promise<void> {
    const target = join(this.folder, 'increment.qcow2');
    await this.convert(['-U', '-f', 'qcow2', '-O', 'qcow2', '-B', this.fullFile, '-F', 'qcow2', delta], target);
    await runLong(['b3sum', target]);
  }

  /** One file out of a chain of backup files, top first, each of which is read for its digest too. */
  async restore(chain: readonly string[]): Promise<void> {
    const [top = ''] = chain;
    await this.convert(['-f', 'qcow2', '-O', 'qcow2', top], join(this.folder, 'restored.qcow2'));
    await runLong(['b3sum', ...chain]);
  }

  /** Removes what the last run wrote. */
  async clear(): Promise<void> {
    await rm(this.folder, { recursive: true });
    await mkdir(this.folder);
  }

  private get fullFile(): string {
    return join(this.folder, 'full.qcow2');
  }

  private async convert(args: readonly string[], target: string): Promise<void> {
    await runLong(['qemu-img', 'convert', ...parallel, ...args, target]);
    await runLong(['sync', target]);
  }
}
