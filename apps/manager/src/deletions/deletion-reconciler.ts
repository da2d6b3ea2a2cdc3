/**
 * Asks again for deletions that failed, with back-off, and drops the rows of backups that are gone for long. Several managers
 * may run it.
 */
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource, In, LessThanOrEqual } from 'typeorm';
import { Logger } from '../events/logger.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { Clock } from '../platform/clock.js';
import { PeriodicTask } from '../platform/periodic-task.js';
import { cleanupBackoffMs } from '../vms/protection.js';
import type { DeletionInput } from './deletion-input.js';

const ROUND_MS = 2000;
/** How long a backup that is gone can still be looked up: long enough to ask who deleted it, not for ever. */
const HISTORY_MS = 30 * 24 * 3_600_000;

@Injectable()
export class DeletionReconciler implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly task: PeriodicTask;

  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly clock: Clock,
    logger: Logger,
  ) {
    this.task = new PeriodicTask('reconcile deletions', ROUND_MS, () => this.round(), logger);
  }

  onApplicationBootstrap(): void {
    this.task.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.task.stop();
  }

  async round(): Promise<void> {
    const due = await this.dataSource.manager.find(BackupEntity, {
      select: { vmId: true },
      where: { state: 'DeleteFailed', deleteNotBefore: LessThanOrEqual(this.clock.now()) },
    });
    for (const vmId of new Set(due.map((row) => row.vmId))) await this.request(vmId);
    await this.forgetOld();
  }

  /** Under the VM's lock: one deletion at a time is asked for, whoever asks. */
  private async request(vmId: string): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, vmId);
      const now = this.clock.now();
      const asked = { vmId, kind: 'DeleteBackups' as const, state: In(['Queued', 'Running', 'Undoing']) };
      if (await manager.existsBy(OperationEntity, asked)) return;
      const due = await manager.find(BackupEntity, {
        where: { vmId, state: 'DeleteFailed', deleteNotBefore: LessThanOrEqual(now) },
        order: { seq: 'ASC' },
      });
      if (due.length === 0) return;
      const input: DeletionInput = { ids: due.map(({ id }) => id), forced: false, accountId: null };
      await this.queue.add(manager, { kind: 'DeleteBackups', vmId, hostId: vm.hostId, accountId: vm.accountId, input });
      for (const row of due) {
        const attempts = row.deleteAttempts + 1;
        const next = new Date(now.getTime() + cleanupBackoffMs(attempts));
        await manager.update(BackupEntity, { id: row.id }, { deleteAttempts: attempts, deleteNotBefore: next });
      }
    });
  }

  private async forgetOld(): Promise<void> {
    const before = new Date(this.clock.now().getTime() - HISTORY_MS);
    const old = `SELECT id FROM backup WHERE state = 'Expunged' AND expunged_at < $1`;
    await this.dataSource.transaction(async (manager) => {
      await manager.query(`DELETE FROM backup_volume WHERE backup_id IN (${old})`, [before]);
      await manager.query(`DELETE FROM backup WHERE id IN (${old})`, [before]);
    });
  }
}
