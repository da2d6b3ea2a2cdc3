/**
 * Asking for compactions that are due: where the setting is on, when something was deleted and again after a failure, with
 * back-off. Owns when one is due, and that a VM has one at a time. Several managers may run it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import { compactablePairs, compactionBackoffMs, type CompactionPair } from '@holdfast/shared/policy/compaction.js';
import { DeletionListeners } from '../deletions/deletion-listeners.js';
import { Logger } from '../events/logger.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { ZoneEntity } from '../persistence/entities/inventory.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import { SettingsService } from '../settings/settings.service.js';
import { newCompaction } from './compaction-input.js';

const ROUND_MS = 10_000;

@Injectable()
export class CompactionRequests extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly settings: SettingsService,
    private readonly clock: Clock,
    listeners: DeletionListeners,
    logger: Logger,
  ) {
    super('look for chains to compact', ROUND_MS, logger);
    listeners.onRemoved((manager, vmId) => this.requestDue(manager, vmId));
  }

  /** What a deletion did not ask for: the setting was off, or an earlier try failed. */
  async round(): Promise<void> {
    const manager = this.dataSource.manager;
    // A setting is asked for once per zone: where it is off, which is the default, no VM is looked at.
    const zones = await manager.find(ZoneEntity, { select: { id: true } });
    const enabled: string[] = [];
    for (const { id } of zones) if (await this.settings.resolve('backup.compaction.enabled', id)) enabled.push(id);
    if (enabled.length === 0) return;
    const vms = await manager
      .createQueryBuilder(VmEntity, 'v')
      .select('v.id', 'id')
      .where('v.zone_id IN (:...enabled)', { enabled })
      .andWhere(
        `EXISTS (SELECT 1 FROM backup b WHERE b.vm_id = v.id AND b.state = 'Removed' AND b.type = 'FULL' AND b.parent_id IS NULL)`,
      )
      .getRawMany<{ id: string }>();
    for (const { id } of vms) {
      await this.dataSource.transaction(async (tx) => {
        await lockVm(tx, id);
        await this.requestDue(tx, id);
      });
    }
  }

  /** Asks for what is due of this VM. Under the VM's lock: one compaction at a time, whoever asks. */
  private async requestDue(manager: EntityManager, vmId: string): Promise<void> {
    const vm = await manager.findOneByOrFail(VmEntity, { id: vmId });
    if (!(await this.settings.resolve('backup.compaction.enabled', vm.zoneId, manager))) return;
    const open = { vmId, kind: 'CompactChain' as const, state: In(['Queued', 'Running', 'Undoing']) };
    if (await manager.existsBy(OperationEntity, open)) return;
    for (const pair of compactablePairs(await manager.findBy(BackupEntity, { vmId }))) {
      if (!(await this.isDue(manager, pair))) continue;
      await this.queue.add(manager, newCompaction(vm, pair));
      return;
    }
  }

  private async isDue(manager: EntityManager, { childId }: CompactionPair): Promise<boolean> {
    const failed = await manager.find(OperationEntity, {
      select: { id: true, finishedAt: true },
      where: { backupId: childId, kind: 'CompactChain', state: In(['Failed', 'Cancelled']) },
      order: { seq: 'DESC' },
    });
    const last = failed[0]?.finishedAt;
    if (last === undefined || last === null) return true;
    return last.getTime() + compactionBackoffMs(failed.length) <= this.clock.now().getTime();
  }
}
