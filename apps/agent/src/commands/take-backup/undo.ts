/**
 * Taking a backup back that was not published. Owns the order:
 *   guest thawed and resumed → primary: each new delta that is in a chain is merged into what is under it, each that is
 *   not is removed → secondary: the folder without a manifest goes → lease released.
 * A manifest that stands is taken away only for whoever cancels: see undoSecondary.
 * Decides from the chain as it is now, not from how far the operation came.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext, VmOutcomeName } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { discardBackupFolder } from '../shared/discard-backup-folder.js';
import { undoMoment } from '../shared/undo-moment.js';

/** Undoes; AsBefore, or Unexplained with the reason. Retryable errors go to the runner, which repeats. */
export async function undoTakeBackup(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  reason: HoldfastError,
): Promise<{ vmOutcome: VmOutcomeName; error?: ErrorData }> {
  const disks = request.volumes.map((volume) => ({ ...volume, newPath: volume.newDeltaPath }));
  const primary = await undoMoment(ports, context, request.header.vmUuid, disks);
  // While the disks cannot be explained, a copy of them is not thrown away.
  if (context.recorded('prepare') !== undefined && primary.vmOutcome !== 'Unexplained')
    await undoSecondary(ports, request, context, reason);
  await ports.storages.release(request.storage.id, request.header.operationId);
  return primary;
}

/**
 * The folder goes. One with a manifest, which came to stand just before the end, only when somebody cancels in this very life:
 * he follows the operation. Otherwise the manager may have given it up while this host was away, and have taken the manifest
 * for what it is, a backup; what is told as left on storage is looked at by a clean-up, which the manager sends.
 */
async function undoSecondary(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  reason: HoldfastError,
): Promise<void> {
  const unpublish = reason.code === 'CANCELLED' && !context.resumed;
  try {
    // 'read': a storage that is full cannot prove that it can be written, and must be emptied all the same.
    const { root } = await ports.storages.acquire(request.storage, request.header.operationId, 'read');
    await context.step('undo-discard-folder', '', { backupId: request.backupId }, async ({ backupId }) => {
      await discardBackupFolder(ports, root, request.header.vmUuid, backupId, { unpublish });
      return null;
    });
  } catch (thrown) {
    // The VM must not wait for a storage that is away: the manager asks for this again by CleanupBackupError.
    const error = HoldfastError.from(thrown);
    context.warn(`The files of this backup are still on storage "${request.storage.name}": ${error.message}`);
  }
}
