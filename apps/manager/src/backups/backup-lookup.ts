/** Finds backups for callers: another account's backup answers like one that does not exist. */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { maySee, type Caller } from '../access/caller.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';

export async function requireBackup(manager: EntityManager, caller: Caller, backupId: string): Promise<BackupEntity> {
  const row = await manager.findOneBy(BackupEntity, { id: backupId });
  if (row === null || !maySee(caller, row.accountId)) {
    throw new HoldfastError('NOT_FOUND', `There is no backup ${backupId}. List the backups to see their ids.`, { backupId });
  }
  return row;
}
