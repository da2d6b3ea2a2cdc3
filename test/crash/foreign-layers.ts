/** What people do to the data disk with virsh, beside Holdfast: a layer on top, and its merge. Owns the layers' names alone. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../testbed/command.js';
import type { CrashBench } from './crash-bench.js';

const FOREIGN = /\.foreign\d+\.qcow2$/;

export class ForeignLayers {
  private made = 0;

  constructor(private readonly bench: CrashBench) {}

  /** Whether the active layer of the data disk is one of these. */
  async onTop(): Promise<boolean> {
    const [active] = await this.bench.vm.chain('vdb');
    return FOREIGN.test(active?.filename ?? '');
  }

  /** Whether the file of the last one is there, in use or not. */
  lastIsThere(): boolean {
    return existsSync(this.fileOf(this.made));
  }

  /** Somebody takes a snapshot of the data disk with virsh and keeps no record of it. */
  async put(): Promise<void> {
    this.made += 1;
    await this.bench.vm.snapshotByHand({ vdb: this.fileOf(this.made) });
  }

  /** Somebody merges his layer down again. The VM runs. */
  async commit(): Promise<void> {
    const { vm } = this.bench;
    const [top, below] = await vm.chain('vdb');
    if (top === undefined || below === undefined || !FOREIGN.test(top.filename))
      throw new Error('vdb has no foreign layer on top');
    await vm.host.virsh(
      ...['blockcommit', vm.uuid, 'vdb', '--top', top.filename, '--base', below.filename],
      ...['--active', '--pivot', '--wait'],
    );
    await run(['rm', '-f', top.filename]);
  }

  private fileOf(number: number): string {
    return join(this.bench.vm.dir, `vdb.foreign${number}.qcow2`);
  }
}
