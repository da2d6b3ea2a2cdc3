/** Changing and deleting backups, and what they take, over gRPC. */
import { deleteBackupSchema, deleteBackupsSchema, updateBackupSchema, usageQuerySchema } from '@holdfast/shared/api/backups.js';
import { parseInput } from '../../errors/invalid-input.js';
import type { ManagerServices } from '../manager-services.js';
import { backupMessage, deletionPlanMessage, operationMessage, usageMessage } from '../messages.js';
import { idOf, type Methods } from '../method.js';

export function deletionMethods({
  backups,
  deletions,
  usage,
}: ManagerServices): Methods<'updateBackup' | 'deleteBackup' | 'deleteBackups' | 'getUsage'> {
  return {
    updateBackup: {
      permission: 'backup.change',
      answer: async (caller, { backupId, ...changes }) => {
        const input = parseInput(updateBackupSchema, changes);
        return { backup: backupMessage(await backups.update(caller, idOf('backup_id', backupId), input)) };
      },
    },
    deleteBackup: {
      permission: 'backup.delete',
      answer: async (caller, { backupId, forced, dryRun }) => {
        const input = parseInput(deleteBackupSchema, { forced, dryRun });
        const { plans, operations } = await deletions.deleteOne(caller, idOf('backup_id', backupId), input);
        const [plan] = plans.map(deletionPlanMessage);
        const [operation] = operations.map(operationMessage);
        return { plan, operation };
      },
    },
    deleteBackups: {
      permission: 'backup.delete',
      answer: async (caller, { backupIds, vmId, forced, dryRun }) => {
        const which = vmId === undefined ? {} : { vmId, all: true };
        const ids = backupIds.length === 0 ? {} : { ids: backupIds };
        const input = parseInput(deleteBackupsSchema, { ...which, ...ids, forced, dryRun });
        const { plans, operations } = await deletions.deleteMany(caller, input);
        return { plans: plans.map(deletionPlanMessage), operations: operations.map(operationMessage) };
      },
    },
    getUsage: {
      permission: 'usage.read',
      answer: async (caller, { vmId, storageId }) => {
        const found = await usage.list(caller, parseInput(usageQuerySchema, { vmId, storageId }));
        return { usage: found.map(usageMessage) };
      },
    },
  };
}
