/** Compaction over gRPC. */
import { operationMessage } from '../messages.js';
import { idOf, type Methods } from '../method.js';
import type { ManagerServices } from '../manager-services.js';

export function compactionMethods({ compactions }: ManagerServices): Methods<'compactBackup'> {
  return {
    compactBackup: {
      permission: 'backup.compact',
      answer: async (caller, { backupId }) => ({
        operation: operationMessage(await compactions.compact(caller, idOf('backup_id', backupId))),
      }),
    },
  };
}
