/** Asks again for deletions that failed, with back-off. Several managers may run it. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, LessThanOrEqual } from 'typeorm';
import { Logger } from '../events/logger.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import { cleanupBackoffMs } from '../vms/protection.js';
import type { DeletionInput } from './deletion-input.js';

const ROUND_MS = 2000;

@Injectable()
export class DeletionReconciler extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly clock: Clock,
    logger: Logger,
  ) {
    super('reconcile deletions', ROUND_MS, logger);
  }

  async round(): Promise<void> {
    const due = await this.dataSource.manager.find(BackupEntity, {
      select: { vmId: true },
      where: { state: 'DeleteFailed', deleteNotBefore: LessThanOrEqual(this.clock.now()) },
    });
    for (const vmId of new Set(due.map((row) => row.vmId))) await this.request(vmId);
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
}
