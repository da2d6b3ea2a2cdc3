/** VMs as callers see them: list, ownership and settings, offering, volumes, end of chain. */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { FinishBackupChain } from '@holdfast/shared/api/backups.js';
import type { Page } from '@holdfast/shared/api/common.js';
import type { ListVms, UpdateVm, Vm, Volume } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { lockVm, requireVm } from '../inventory/vm-lookup.js';
import { vmView, volumeView } from '../inventory/vm-view.js';
import { requireOffering } from '../offerings/offerings.service.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { operationView } from '../operations/operation-view.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { AccountEntity } from '../persistence/entities/access.entities.js';
import { idCursorOf, pageOf } from '../persistence/paging.js';
import { isForeignKeyViolation } from '../persistence/violations.js';
import type { CleanupInput } from './cleanup-input.js';

@Injectable()
export class VmsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly audit: AuditLog,
  ) {}

  /** By id, in order of id. A user sees those of its own account. `name` must match exactly. */
  async list(caller: Caller, query: ListVms): Promise<Page<Vm>> {
    const after = idCursorOf(query);
    const find = this.dataSource.manager
      .createQueryBuilder(VmEntity, 'v')
      .orderBy('v.id', 'ASC')
      .limit(query.limit + 1);
    if (caller.role !== 'admin') find.andWhere('v.account_id = :account', { account: caller.accountId });
    if (query.zoneId !== undefined) find.andWhere('v.zone_id = :zone', { zone: query.zoneId });
    if (query.hostId !== undefined) find.andWhere('v.host_id = :host', { host: query.hostId });
    if (query.name !== undefined) find.andWhere('v.name = :name', { name: query.name });
    if (after !== undefined) find.andWhere('v.id::text > :after', { after });
    return pageOf(await find.getMany(), query.limit, (row) => row.id, vmView);
  }

  async get(caller: Caller, vmId: string): Promise<Vm> {
    return vmView(await requireVm(this.dataSource.manager, caller, vmId));
  }

  /** Owner and validation settings; administrators only. */
  async update(caller: Caller, vmId: string, input: UpdateVm): Promise<Vm> {
    requireAdmin(caller, 'change VMs');
    await requireVm(this.dataSource.manager, caller, vmId);
    if (
      input.accountId !== undefined &&
      input.accountId !== null &&
      !(await this.dataSource.manager.existsBy(AccountEntity, { id: input.accountId }))
    ) {
      throw new HoldfastError('NOT_FOUND', `There is no account ${input.accountId}. List the accounts to see their ids.`, {
        accountId: input.accountId,
      });
    }
    const changes = {
      ...(input.accountId === undefined ? {} : { accountId: input.accountId }),
      ...(input.settings === undefined ? {} : { settings: input.settings }),
    };
    if (Object.keys(changes).length > 0) await this.dataSource.manager.update(VmEntity, { id: vmId }, changes);
    this.audit.changed(caller, 'vm.update', { vmId });
    return this.get(caller, vmId);
  }

  /** The VM's disks, attached ones first. */
  async volumes(caller: Caller, vmId: string): Promise<Volume[]> {
    await requireVm(this.dataSource.manager, caller, vmId);
    const rows = await this.dataSource.manager.find(VolumeEntity, {
      where: { vmId },
      order: { attached: 'DESC', target: 'ASC', id: 'ASC' },
    });
    const deltas = await this.dataSource.manager.findBy(VolumeDeltaEntity, { vmId });
    const paths = new Set(deltas.map((delta) => delta.path));
    return rows.map((row) => volumeView(row, paths));
  }

  /** WRONG_STATE when it already has another offering: its chain was made under that one. */
  async assignOffering(caller: Caller, vmId: string, input: { offeringId: string }): Promise<Vm> {
    await requireVm(this.dataSource.manager, caller, vmId);
    const offering = await requireOffering(this.dataSource.manager, input.offeringId);
    try {
      await this.dataSource.transaction(async (manager) => {
        const vm = await lockVm(manager, vmId);
        if (vm.powerState === 'Gone') throw gone(vm);
        if (vm.offeringId !== null && vm.offeringId !== offering.id) {
          throw new HoldfastError(
            'WRONG_STATE',
            `The VM "${vm.name}" already has another backup offering. Remove it from that one first.`,
            { vmId, offeringId: vm.offeringId },
          );
        }
        await manager.update(VmEntity, { id: vmId }, { offeringId: offering.id });
      });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError('NOT_FOUND', `The offering "${offering.name}" has just been deleted.`, { offeringId: offering.id });
    }
    this.audit.changed(caller, 'vm.assign-offering', { vmId, offeringId: offering.id });
    return this.get(caller, vmId);
  }

  /** Takes the offering away and ends the chain: the operation merges the VM's deltas on primary. Backups stay. */
  async unassignOffering(caller: Caller, vmId: string): Promise<Operation> {
    await requireVm(this.dataSource.manager, caller, vmId);
    const operation = await this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, vmId);
      if (vm.offeringId === null) throw new HoldfastError('NO_OFFERING', `The VM "${vm.name}" has no backup offering.`, { vmId });
      await manager.update(VmEntity, { id: vmId }, { offeringId: null });
      return this.endChain(manager, vm, {
        purpose: 'end-chain',
        dryRun: false,
        reason: 'the VM was removed from its backup offering',
      });
    });
    this.audit.changed(caller, 'vm.unassign-offering', { vmId, operationId: operation.id });
    return operation;
  }

  /** Ends the chain and brings the VM's disks to rest. With `dryRun` the operation only says what it would do. */
  async finishBackupChain(caller: Caller, vmId: string, input: FinishBackupChain): Promise<Operation> {
    const vm = await requireVm(this.dataSource.manager, caller, vmId);
    const operation = await this.dataSource.transaction((manager) =>
      this.endChain(manager, vm, { purpose: 'end-chain', dryRun: input.dryRun, reason: 'the chain was finished by request' }),
    );
    this.audit.changed(caller, 'vm.finish-backup-chain', { vmId, operationId: operation.id, dryRun: String(input.dryRun) });
    return operation;
  }

  private async endChain(manager: EntityManager, vm: VmEntity, input: CleanupInput): Promise<Operation> {
    const row = await this.queue.add(manager, {
      kind: 'CleanupBackupError',
      vmId: vm.id,
      hostId: vm.hostId,
      accountId: vm.accountId,
      input: { ...input },
    });
    return operationView(row);
  }
}

/** A VM that no host knows any more. */
export function gone(vm: VmEntity): HoldfastError {
  return new HoldfastError(
    'WRONG_STATE',
    `No host knows the VM "${vm.name}" any more. Its backups can be restored; define it again to back it up.`,
    { vmId: vm.id },
  );
}
