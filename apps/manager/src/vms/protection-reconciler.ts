/** Asks for a clean-up of every VM whose disks are not at rest, again and again with back-off. Several managers may run it. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, LessThanOrEqual, Not } from 'typeorm';
import { Logger } from '../events/logger.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import type { CleanupInput } from './cleanup-input.js';
import { cleanupBackoffMs } from './protection.js';

const ROUND_MS = 2000;

@Injectable()
export class ProtectionReconciler extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly clock: Clock,
    logger: Logger,
  ) {
    super('reconcile protection', ROUND_MS, logger);
  }

  async round(): Promise<void> {
    const due = await this.dataSource.manager.find(VmEntity, {
      select: { id: true },
      where: { protectionState: Not('Ok'), powerState: Not('Gone'), cleanupNotBefore: LessThanOrEqual(this.clock.now()) },
    });
    for (const { id } of due) await this.request(id);
  }

  /** Under the VM's lock: one clean-up at a time, whoever asks. */
  private async request(vmId: string): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, vmId);
      const now = this.clock.now();
      if (vm.protectionState === 'Ok' || vm.cleanupNotBefore === null || vm.cleanupNotBefore > now) return;
      if (
        await manager.existsBy(OperationEntity, { vmId, kind: 'CleanupBackupError', state: In(['Queued', 'Running', 'Undoing']) })
      )
        return;
      const input: CleanupInput = { purpose: 'repair', dryRun: false, reason: '' };
      await this.queue.add(manager, { kind: 'CleanupBackupError', vmId, hostId: vm.hostId, accountId: vm.accountId, input });
      const next = new Date(now.getTime() + cleanupBackoffMs(vm.cleanupAttempts));
      await manager.update(VmEntity, { id: vmId }, { cleanupAttempts: vm.cleanupAttempts + 1, cleanupNotBefore: next });
    });
  }
}
