/** Backups as callers see them: create, list, get. Planning for good happens when the operation's turn comes. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import type { Backup, CreateBackup, ListBackups, UpdateBackup } from '@holdfast/shared/api/backups.js';
import type { Page } from '@holdfast/shared/api/common.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { StoragesService } from '../storage/storages.service.js';
import type { Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { lockVm, requireVm } from '../inventory/vm-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { operationView } from '../operations/operation-view.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import { VolumeEntity, type VmEntity } from '../persistence/entities/vm.entities.js';
import { numericCursorOf, pageOf } from '../persistence/paging.js';
import { Clock } from '../platform/clock.js';
import { SettingsService } from '../settings/settings.service.js';
import { gone } from '../vms/vms.service.js';
import { requireBackup } from './backup-lookup.js';
import { backupRefusal } from './backup-refusals.js';
import { backupView } from './backup-view.js';
import { planWithFreshStorages } from './plan-with-fresh-storages.js';

@Injectable()
export class BackupsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly refresher: VmRefresher,
    private readonly settings: SettingsService,
    private readonly storages: StoragesService,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /**
   * Asks for a backup. Its row exists as Queued from now on; operations of one VM run one after another in the order in
   * which they were asked for. Refused here with everything that is known to be in the way.
   */
  async create(caller: Caller, vmId: string, input: CreateBackup, scheduleId?: string): Promise<Operation> {
    const vm = await requireVm(this.dataSource.manager, caller, vmId);
    const operation = await this.start(vm, input, { scheduleId, mayStart: () => Promise.resolve(true) });
    if (operation === undefined) throw new HoldfastError('BUG', 'A backup that may start was not started.', { vmId });
    this.audit.changed(caller, 'backup.create', {
      vmId,
      backupId: operation.backupId ?? '',
      operationId: operation.id,
      ...(scheduleId === undefined ? {} : { scheduleId }),
    });
    return operation;
  }

  /**
   * The same for a schedule. `mayStart` decides in the transaction that writes the backup, under the VM's lock: what it
   * writes becomes true together with the backup. False: nothing is written and the answer is undefined.
   */
  createScheduled(
    vm: VmEntity,
    input: CreateBackup,
    scheduleId: string,
    mayStart: (tx: EntityManager, backupId: string) => Promise<boolean>,
  ): Promise<Operation | undefined> {
    return this.start(vm, input, { scheduleId, mayStart });
  }

  private async start(
    known: VmEntity,
    input: CreateBackup,
    source: {
      readonly scheduleId: string | undefined;
      readonly mayStart: (tx: EntityManager, backupId: string) => Promise<boolean>;
    },
  ): Promise<Operation | undefined> {
    const manager = this.dataSource.manager;
    const vm = await this.refresher.seek(known);
    const vmId = vm.id;
    if (vm.powerState === 'Gone') throw gone(vm);
    if (vm.offeringId === null) {
      throw new HoldfastError(
        'NO_OFFERING',
        `The VM "${vm.name}" has no backup offering. Assign one with "holdfast vm assign".`,
        { vmId },
      );
    }
    if (vm.hostId === null) throw gone(vm);
    const problem = hostProblem(await requireHost(manager, vm.hostId));
    if (problem !== undefined) throw problem;
    await this.refuse(vm, input);

    const backupId = this.clock.newId();
    const { settings, storages } = this;
    const { plan } = await planWithFreshStorages({ manager, settings, storages }, vm, { id: backupId, isolated: input.isolated });
    const now = this.clock.now();
    const operation = await this.dataSource.transaction(async (tx) => {
      const locked = await lockVm(tx, vmId);
      if (locked.offeringId === null)
        throw new HoldfastError('NO_OFFERING', `The VM "${vm.name}" was just removed from its backup offering.`, { vmId });
      if (!(await source.mayStart(tx, backupId))) return undefined;
      const row = await this.queue.add(tx, {
        kind: 'TakeBackup',
        vmId,
        hostId: locked.hostId,
        backupId,
        accountId: locked.accountId,
        input: {},
      });
      await tx.insert(BackupEntity, {
        id: backupId,
        vmId,
        vmName: locked.name,
        accountId: locked.accountId,
        name: input.name ?? `${locked.name}-${now.toISOString()}`,
        description: input.description,
        state: 'Queued',
        type: plan.decision.type,
        fullReason: plan.fullReason ?? null,
        isolated: input.isolated,
        endOfChain: plan.decision.endOfChain,
        quiesce: input.quiesce,
        parentId: plan.decision.parentId ?? null,
        storageId: plan.storage.storageId,
        storageReason: plan.storage.reason,
        operationId: row.id,
        scheduleId: source.scheduleId ?? null,
        warnings: [],
        createdAt: now,
      });
      return row;
    });
    return operation === undefined ? undefined : operationView(operation);
  }

  /** Newest first. A user sees those of its own account. */
  async list(caller: Caller, query: ListBackups): Promise<Page<Backup>> {
    const after = numericCursorOf(query);
    const manager = this.dataSource.manager;
    const find = manager
      .createQueryBuilder(BackupEntity, 'b')
      .orderBy('b.seq', 'DESC')
      .limit(query.limit + 1);
    if (caller.role !== 'admin') find.andWhere('b.account_id = :account', { account: caller.accountId });
    if (query.vmId !== undefined) find.andWhere('b.vm_id = :vm', { vm: query.vmId });
    if (query.storageId !== undefined) find.andWhere('b.storage_id = :storage', { storage: query.storageId });
    if (query.state === undefined) find.andWhere(`b.state NOT IN ('Removed', 'Expunged')`);
    else find.andWhere('b.state = :state', { state: query.state });
    if (after !== undefined) find.andWhere('b.seq < :after', { after: after.toString() });
    const rows = await find.getMany();
    const volumes = await manager.find(BackupVolumeEntity, {
      where: { backupId: In(rows.map((row) => row.id)) },
      order: { target: 'ASC' },
    });
    return pageOf(
      rows,
      query.limit,
      (row) => row.seq.toString(),
      (row) =>
        backupView(
          row,
          volumes.filter((volume) => volume.backupId === row.id),
        ),
    );
  }

  async get(caller: Caller, backupId: string): Promise<Backup> {
    const row = await requireBackup(this.dataSource.manager, caller, backupId);
    const volumes = await this.dataSource.manager.find(BackupVolumeEntity, { where: { backupId }, order: { target: 'ASC' } });
    return backupView(row, volumes);
  }

  /** Name, description, protection. WRONG_STATE for one that is deleted or about to be. */
  async update(caller: Caller, backupId: string, input: UpdateBackup): Promise<Backup> {
    const { vmId } = await requireBackup(this.dataSource.manager, caller, backupId);
    await this.dataSource.transaction(async (manager) => {
      // A deletion begins under the same lock and looks again: what is protected first is not deleted, what has begun is not protected.
      await lockVm(manager, vmId);
      const row = await requireBackup(manager, caller, backupId);
      if (row.state === 'Removed' || row.state === 'DeleteFailed' || row.state === 'Expunged') {
        throw new HoldfastError(
          'WRONG_STATE',
          `The backup "${row.name}" was deleted (${row.state}) and cannot be changed any more.`,
          {
            backupId,
            state: row.state,
          },
        );
      }
      const changes = {
        ...(input.name === undefined ? {} : { name: input.name }),
        ...(input.description === undefined ? {} : { description: input.description }),
        ...(input.protected === undefined ? {} : { protected: input.protected }),
      };
      if (Object.keys(changes).length > 0) await manager.update(BackupEntity, { id: backupId }, changes);
    });
    this.audit.changed(caller, 'backup.update', { vmId, backupId, fields: Object.keys(input).join(',') });
    return this.get(caller, backupId);
  }

  /** Refuses by what is known; what is known may be old, so a refusal is looked at again before it is said. */
  private async refuse(vm: VmEntity, input: CreateBackup): Promise<void> {
    const known = backupRefusal(vm, await this.attached(vm.id), input.quiesce);
    if (known === undefined) return;
    const fresh = await this.refresher.refresh(vm);
    if (fresh.powerState === 'Gone') throw gone(fresh);
    const still = backupRefusal(fresh, await this.attached(vm.id), input.quiesce);
    if (still !== undefined) throw still;
  }

  private attached(vmId: string): Promise<VolumeEntity[]> {
    return this.dataSource.manager.find(VolumeEntity, { where: { vmId, attached: true }, order: { target: 'ASC' } });
  }
}
