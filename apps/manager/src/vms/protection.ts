/** What the end of an operation means for the protection of its VM, and when a clean-up is due. */
import { IsNull, Not, type EntityManager } from 'typeorm';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOutcome } from '../agents/agent-types.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';

const FIRST_BACKOFF_MS = 30_000;
const LONGEST_BACKOFF_MS = 3_600_000;

/** Time until the next clean-up after so many attempts: 30 s, doubled each time, at most an hour. */
export function cleanupBackoffMs(attempts: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(attempts, 20), LONGEST_BACKOFF_MS);
}

/** Records what the agent saw of the VM's chain at the end. `reason`: why it is not at rest. */
export async function recordProtection(
  manager: EntityManager,
  vm: VmEntity,
  outcome: AgentOutcome,
  reason: ErrorData | null,
  now: Date,
): Promise<void> {
  switch (outcome) {
    case 'AsAfter':
    case 'AsBefore': {
      const rest = await hasLeftovers(manager, vm.id);
      if (rest) await markMergePending(manager, vm, reason, now);
      else if (outcome === 'AsAfter') await markOk(manager, vm.id);
      return;
    }
    case 'MergePending':
    case 'Unknown':
      return markMergePending(manager, vm, reason, now);
    case 'Unexplained': {
      const error =
        reason ??
        new HoldfastError('CHAIN_UNEXPLAINED', `The disks of the VM "${vm.name}" are not in a state that Holdfast can explain.`, {
          vmId: vm.id,
        }).toData();
      await manager.update(
        VmEntity,
        { id: vm.id },
        {
          protectionState: 'BackupError',
          protectionReason: error as object,
          cleanupNotBefore: new Date(now.getTime() + cleanupBackoffMs(vm.cleanupAttempts)),
        },
      );
      return;
    }
  }
}

/**
 * Records only that something is not as it should be: for an operation whose success says nothing of what was pending before
 * it, because it did not look at everything.
 */
export async function recordTrouble(
  manager: EntityManager,
  vm: VmEntity,
  outcome: AgentOutcome,
  reason: ErrorData | null,
  now: Date,
): Promise<void> {
  if (outcome !== 'AsAfter' && outcome !== 'AsBefore') await recordProtection(manager, vm, outcome, reason, now);
}

/** The VM's disks are at rest. */
export async function markOk(manager: EntityManager, vmId: string): Promise<void> {
  await manager.update(
    VmEntity,
    { id: vmId },
    { protectionState: 'Ok', protectionReason: null, cleanupAttempts: 0, cleanupNotBefore: null },
  );
}

/**
 * A clean-up did what it could: nothing is unexplained any more. What it could not see (a disk whose pool is away) or reach is
 * left over; the next try is due when the tries before say, or it would be made again at once, and again.
 */
export async function recordCleanedUp(manager: EntityManager, vm: VmEntity, now: Date): Promise<void> {
  if (!(await hasLeftovers(manager, vm.id))) return markOk(manager, vm.id);
  const unread = await manager.findOneBy(VolumeEntity, { vmId: vm.id, attached: true, refusal: Not(IsNull()) });
  await manager.update(
    VmEntity,
    { id: vm.id },
    {
      protectionState: 'MergePending',
      protectionReason: (unread?.refusal ?? null) as object | null,
      cleanupNotBefore: vm.cleanupNotBefore ?? new Date(now.getTime() + cleanupBackoffMs(vm.cleanupAttempts)),
    },
  );
}

/** Deltas are to be merged or leftovers removed; the reconciler sees to it. BackupError stays BackupError. */
export async function markMergePending(manager: EntityManager, vm: VmEntity, reason: ErrorData | null, now: Date): Promise<void> {
  if (vm.protectionState === 'BackupError') return;
  const due = vm.protectionState === 'MergePending' && vm.cleanupNotBefore !== null ? vm.cleanupNotBefore : now;
  await manager.update(
    VmEntity,
    { id: vm.id },
    { protectionState: 'MergePending', protectionReason: reason as object | null, cleanupNotBefore: due },
  );
}

async function hasLeftovers(manager: EntityManager, vmId: string): Promise<boolean> {
  return (
    (await manager.existsBy(VolumeDeltaEntity, { vmId, state: 'Leftover' })) ||
    (await manager.existsBy(VolumeOverlayEntity, { vmId, state: 'Leftover' })) ||
    (await manager.existsBy(BackupEntity, { vmId, leftoversOnStorage: true }))
  );
}
