/** Plans of deletions as the public API shows them, and in words. Pure. */
import type { DeletionPlan as DeletionPlanView } from '@holdfast/shared/api/backups.js';
import type { BackupId, StorageId, VmId } from '@holdfast/shared/ids/ids.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { DeletionPlan } from '@holdfast/shared/policy/deletion.js';
import { errorView } from '../inventory/vm-view.js';
import type { BackupEntity } from '../persistence/entities/backup.entities.js';
import type { VmEntity } from '../persistence/entities/vm.entities.js';

export function deletionPlanView(vm: VmEntity, rows: readonly BackupEntity[], plan: DeletionPlan): DeletionPlanView {
  const shown = (ids: readonly string[]): DeletionPlanView['removed'] =>
    ids.flatMap((id) => {
      const row = rows.find((candidate) => candidate.id === id);
      if (row === undefined) return [];
      return {
        id: row.id as BackupId,
        name: row.name,
        storageId: row.storageId as StorageId,
        ...(row.sizeBytes === null ? {} : { sizeBytes: row.sizeBytes.toString() }),
      };
    });
  const expunged = shown([...plan.expunge.flatMap(({ backupIds }) => backupIds), ...plan.forget]);
  return {
    vmId: vm.id as VmId,
    vmName: vm.name,
    removed: shown(plan.remove),
    expunged,
    chainEnds: shown(plan.endOfChain),
    mergesOnPrimary: plan.mergeHeadDelta,
    freedBytes: expunged.reduce((sum, { sizeBytes }) => sum + BigInt(sizeBytes ?? 0), 0n).toString(),
    refusals: plan.refusals.map(({ id, error }) => ({ backupId: id as BackupId, error: errorView(error) })),
  };
}

/** What a plan that needs no host does, a sentence each. */
export function deletionWords({ removed, expunged }: DeletionPlanView): string[] {
  const words = [
    ...removed.map(({ name }) => `the backup "${name}" is taken from sight; its files stay for the backups that need them`),
    ...expunged.map(({ name }) => `the backup "${name}" is forgotten; it has no files`),
  ];
  return words.length > 0 ? words : ['nothing is left to delete'];
}

/** The first refusal, with all of them in its message; nothing when there is none. */
export function throwRefusals({ refusals }: DeletionPlan): void {
  const [first] = refusals;
  if (first === undefined) return;
  const message = refusals.map(({ error }) => error.message).join(' ');
  throw new HoldfastError(first.error.code, message, first.error.fields);
}
