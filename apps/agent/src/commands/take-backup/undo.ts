/**
 * Taking a backup back that was not published. Owns the order:
 *   guest thawed and resumed → primary: each new delta that is in a chain is merged into what is under it, each that is
 *   not is removed → secondary: the folder without a manifest goes → lease released.
 * Decides from the chain as it is now, not from how far the operation came.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext, VmOutcomeName } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { discardDelta } from '../merge/discard-delta.js';
import { mergeDeltas } from '../merge/merge-deltas.js';
import { discardBackupFolder } from '../shared/discard-backup-folder.js';
import { chainPaths, diskOf, observeSettled } from '../shared/observe-settled.js';

/** Undoes; AsBefore, or Unexplained with the reason. Retryable errors go to the runner, which repeats. */
export async function undoTakeBackup(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
): Promise<{ vmOutcome: VmOutcomeName; error?: ErrorData }> {
  await ports.duties.relieve(request.header.vmUuid);
  const primary =
    context.recorded('snapshot') === undefined ? { vmOutcome: 'AsBefore' as const } : await undoPrimary(ports, request, context);
  // While the disks cannot be explained, a copy of them is not thrown away.
  if (context.recorded('prepare') !== undefined && primary.vmOutcome !== 'Unexplained')
    await undoSecondary(ports, request, context);
  await ports.storages.release(request.storage.id, request.header.operationId);
  return primary;
}

async function undoPrimary(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
): Promise<{ vmOutcome: VmOutcomeName; error?: ErrorData }> {
  const { vmUuid } = request.header;
  try {
    const domain = await observeSettled(ports, vmUuid, context.log);
    // Migrated away or undefined in the middle: its chain is not ours to touch here.
    if (domain === undefined) return { vmOutcome: 'MergePending' };
    for (const volume of request.volumes) {
      const inChain = chainPaths(diskOf(domain, volume.target)).includes(volume.newDeltaPath);
      if (inChain || context.recorded('undo-plan-merge', volume.target) !== undefined) {
        await mergeDeltas(ports, context, vmUuid, { ...volume, deltaPaths: [volume.newDeltaPath] }, 'undo-');
      } else {
        await context.step('undo-remove-delta', volume.target, { path: volume.newDeltaPath }, ({ path }) =>
          discardDelta(ports, context, vmUuid, path),
        );
      }
    }
    return { vmOutcome: 'AsBefore' };
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    if (error.code === 'CHAIN_UNEXPLAINED') return { vmOutcome: 'Unexplained', error: error.toData() };
    if (error.code === 'ORPHANED_QEMU' || error.code === 'FILE_IN_USE' || error.code === 'PLAN_OUTDATED') {
      context.warn(`The new deltas are not merged back yet: ${error.message}`);
      return { vmOutcome: 'MergePending', error: error.toData() };
    }
    throw error;
  }
}

async function undoSecondary(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<void> {
  try {
    // 'read': a storage that is full cannot prove that it can be written, and must be emptied all the same.
    const { root } = await ports.storages.acquire(request.storage, request.header.operationId, 'read');
    await context.step('undo-discard-folder', '', { backupId: request.backupId }, async ({ backupId }) => {
      await discardBackupFolder(ports, root, request.header.vmUuid, backupId, { unpublish: true });
      return null;
    });
  } catch (thrown) {
    // The VM must not wait for a storage that is away: the manager asks for this again by CleanupBackupError.
    const error = HoldfastError.from(thrown);
    context.warn(`The unfinished files of this backup are still on storage "${request.storage.name}": ${error.message}`);
  }
}
