/** What two operations meet on: an open chain of two backups with content of its own, and what else the two need. */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { CrashBench } from '../crash/crash-bench.js';
import { deleteNow } from '../crash/deletion-moves.js';
import type { Need } from './pair-kinds.js';

export interface PairWorld {
  readonly bench: CrashBench;
  /** The full backup that the chain begins with; gone from the lists where the world has 'a Removed backup'. */
  readonly older: Backup['id'];
  /** The head of the open chain. */
  readonly newer: Backup['id'];
}

/** Brings the bench there, from whatever a pair before has left. */
export async function preparePairWorld(
  bench: CrashBench,
  needs: readonly Need[],
  power: 'running' | 'stopped',
): Promise<PairWorld> {
  await bench.snapshots.deleteAll();
  await deleteLeftovers(bench);
  // First of all: it ends the chain.
  if (needs.includes('files of a restore')) await bench.release.before();
  else await bench.release.releaseAll();
  const older = await bench.backups.take('older');
  const newer = await bench.backups.take('newer');
  if (needs.includes('a Removed backup')) {
    await deleteNow(bench, { ids: [older] });
    await bench.backups.forget([older]);
  }
  if (needs.includes('a VM snapshot')) await bench.snapshots.takeNow();
  await bench.withNewContent(power);
  return { bench, older, newer };
}

/** So that the next chain begins anew, and the storage stays small. */
async function deleteLeftovers(bench: CrashBench): Promise<void> {
  const all = await bench.stack.api.list<Backup>('/backups', { vmId: bench.vm.uuid, state: 'BackedUp' });
  const ids = all.map(({ id }) => id).filter((id) => !bench.backups.toRestore.includes(id));
  if (ids.length > 0) await deleteNow(bench, { ids, forced: true });
  await bench.backups.forget(ids);
}
