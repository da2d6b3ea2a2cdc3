/** The moves of a compaction on a crash bench: a chain whose oldest backup is deleted, its merge, and what must be true then. */
import type { Backup, Deletion } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CrashBench } from './crash-bench.js';

export class CompactionMoves {
  /** The child of the last chain that was to be compacted. */
  private compacted: Backup['id'] | undefined;

  constructor(private readonly bench: CrashBench) {}

  /** An open chain whose oldest backup is deleted and kept for one child alone. */
  async before(): Promise<void> {
    for (;;) {
      this.compacted = await this.bench.backups.take('of a chain to compact');
      const { parentId } = await this.bench.stack.api.get<Backup>(`/backups/${this.compacted}`);
      if (parentId === undefined || (await this.bench.stack.api.get<Backup>(`/backups/${parentId}`)).type !== 'FULL') continue;
      const { operations } = await this.bench.stack.api.delete<Deletion>(`/backups/${parentId}`);
      for (const { id } of operations) await this.bench.waitForRest(id);
      await this.bench.backups.forget([parentId]);
      return;
    }
  }

  async start(): Promise<string> {
    return this.startFor(this.compacted);
  }

  async startFor(child: Backup['id'] | undefined): Promise<string> {
    return (await this.bench.stack.api.post<Operation>(`/backups/${child}/actions/compact`, {})).id;
  }

  /** One that failed, wherever, is finished by the next one. */
  async conclude(succeeded: boolean): Promise<void> {
    if (!succeeded) {
      const end = await this.bench.waitForRest(await this.start());
      if (!end.succeeded) throw new Error(`the compaction after one that failed failed as well: ${end.words}`);
    }
    const { type } = await this.bench.stack.api.get<Backup>(`/backups/${this.compacted}`);
    if (type !== 'FULL') throw new Error('the chain was compacted, but the child is not full');
  }
}
