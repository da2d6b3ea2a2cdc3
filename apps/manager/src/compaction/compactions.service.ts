/** Compactions as callers ask for them: one, now, whether or not the setting is on. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { compactablePairs } from '@holdfast/shared/policy/compaction.js';
import type { Caller } from '../access/caller.js';
import { requireBackup } from '../backups/backup-lookup.js';
import { AuditLog } from '../events/audit-log.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { operationView } from '../operations/operation-view.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { nothingToCompact } from './compact-chain.handler.js';
import { newCompaction } from './compaction-input.js';

@Injectable()
export class CompactionsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly audit: AuditLog,
  ) {}

  /** Merges the deleted backup below this one into it. WRONG_STATE when there is none, or another backup needs it too. */
  async compact(caller: Caller, backupId: string): Promise<Operation> {
    const { vmId } = await requireBackup(this.dataSource.manager, caller, backupId);
    const row = await this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, vmId);
      const child = await manager.findOneByOrFail(BackupEntity, { id: backupId });
      const pair = compactablePairs(await manager.findBy(BackupEntity, { vmId })).find(({ childId }) => childId === backupId);
      if (pair === undefined) throw nothingToCompact(child);
      return this.queue.add(manager, newCompaction(vm, pair));
    });
    this.audit.changed(caller, 'backup.compact', { backupId, vmId, operationId: row.id });
    return operationView(row);
  }
}
