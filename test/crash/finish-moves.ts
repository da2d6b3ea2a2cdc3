/** The moves of finishing a chain on a crash bench: an open chain, the wish, and what must be true then. */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CrashBench } from './crash-bench.js';

/** A chain that is open, so that there is a delta on primary, and content written since its head. */
export async function openChainWithNewContent(bench: CrashBench, power: 'running' | 'stopped'): Promise<void> {
  if ((await bench.stack.vm(bench.vm)).headBackupId === undefined) {
    await bench.backups.take('head of a chain to finish');
  }
  await bench.withNewContent(power);
}

export async function startFinishChain(bench: CrashBench): Promise<string> {
  return (await bench.stack.api.post<Operation>(`/vms/${bench.vm.uuid}/actions/finish-backup-chain`, {})).id;
}

/** A chain that was finished has no head any more; one that was not is finished by the reconciler or stays open. */
export async function concludeFinishChain(bench: CrashBench, succeeded: boolean): Promise<void> {
  const { headBackupId } = await bench.stack.vm(bench.vm);
  if (succeeded && headBackupId !== undefined)
    throw new Error(`the chain was finished, but backup ${headBackupId} is still its head`);
}
