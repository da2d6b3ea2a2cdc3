/**
 * The moves of a deletion on a crash bench: a chain of which all but the first goes, and what must be true in the end. Owns
 * what is asked of the product; content is the bench's.
 */
import type { Backup, Deletion } from '@holdfast/shared/api/backups.js';
import type { CrashBench } from './crash-bench.js';

/** A new chain; all but its first are to be deleted. What earlier rounds left on the storage goes first. */
export async function chainToDelete(bench: CrashBench, length: 2 | 3): Promise<void> {
  await deleteNow(bench, { vmId: bench.vm.uuid, all: true });
  await bench.backups.forget(bench.backups.comparable);
  for (let index = 0; index < length; index += 1) await bench.backups.take(`to delete ${index}`);
  bench.backups.doomed = bench.backups.comparable.slice(1);
  await bench.runningWithNewContent();
}

/** By force from the second one on: what lies on it goes as well. */
export async function startDelete(bench: CrashBench): Promise<string> {
  return (await bench.backups.startDeletion(bench.backups.doomed[0] ?? '')) ?? '';
}

/** Deleted in the end, at once or when it is asked for again; the backup below lives, as the end of its chain. */
export async function concludeDelete(bench: CrashBench): Promise<void> {
  const { api } = bench.stack;
  const [kept = '', ...doomed] = bench.backups.comparable;
  await deleteNow(bench, { ids: doomed, forced: true });
  for (const id of doomed) {
    const { state } = await api.get<Backup>(`/backups/${id}`);
    if (state !== 'Expunged') throw new Error(`backup ${id} was deleted and is ${state}`);
  }
  const { state, endOfChain } = await api.get<Backup>(`/backups/${kept}`);
  if (state !== 'BackedUp' || !endOfChain) throw new Error(`backup ${kept} must live as the end of its chain, and is ${state}`);
  const { headBackupId } = await bench.stack.vm(bench.vm);
  if (headBackupId !== undefined) throw new Error(`the chain goes on from backup ${headBackupId}, which is gone`);
  await bench.backups.forget(doomed);
}

/** A deletion that must succeed: the way to a place to start from. */
export async function deleteNow(bench: CrashBench, wish: object): Promise<void> {
  const { operations } = await bench.stack.api.post<Deletion>('/backups/actions/delete', wish);
  for (const { id } of operations) {
    const end = await bench.waitForRest(id);
    if (!end.succeeded) throw new Error(`a deletion that nothing disturbs failed: ${end.words}`);
  }
}
