/** Snapshots of VMs as callers see them: take, list, revert to, delete. What can be refused is refused here. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CreateVmSnapshot, ListVmSnapshots, VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Caller } from '../access/caller.js';
import { backupRefusal, chainRefusal } from '../backups/backup-refusals.js';
import { AuditLog } from '../events/audit-log.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { lockVm, requireVm } from '../inventory/vm-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { operationView } from '../operations/operation-view.js';
import { VmSnapshotEntity, VmSnapshotVolumeEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VolumeEntity, type VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { gone } from '../vms/vms.service.js';
import { chosenVolumes } from './plan-snapshots.js';
import type { DeleteSnapshotsInput, RevertSnapshotInput, TakeSnapshotInput } from './snapshot-input.js';
import { requireSnapshot, type FoundSnapshot } from './snapshot-lookup.js';
import { demandOverlays, demandReady, demandStopped } from './snapshot-refusals.js';
import { snapshotViews, type Shows } from './snapshot-view.js';

@Injectable()
export class VmSnapshotsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly refresher: VmRefresher,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /** Asks for a snapshot of a VM, running or stopped. Its row exists as Creating from now on. NAME_TAKEN within the VM. */
  async create(caller: Caller, vmId: string, input: CreateVmSnapshot): Promise<Operation> {
    const manager = this.dataSource.manager;
    const vm = await requireVm(manager, caller, vmId);
    await this.demandHost(manager, vm);
    await this.refuse(vm, input);
    const id = this.clock.newId();
    const now = this.clock.now();
    const wanted: TakeSnapshotInput = { targets: input.volumes ?? null };
    const operation = await this.dataSource.transaction(async (tx) => {
      const locked = await lockVm(tx, vmId);
      const name = input.name ?? `${locked.name}-${now.toISOString()}`;
      await demandFreeName(tx, locked, name);
      const row = await this.queue.add(tx, {
        kind: 'TakeVmSnapshot',
        vmId,
        hostId: locked.hostId,
        vmSnapshotId: id,
        accountId: locked.accountId,
        input: wanted,
      });
      await tx.insert(VmSnapshotEntity, {
        id,
        vmId,
        name,
        description: input.description,
        state: 'Creating',
        parentId: null,
        quiesce: input.quiesce,
        operationId: row.id,
        createdAt: now,
      });
      return row;
    });
    this.audit.changed(caller, 'vm-snapshot.create', { vmId, vmSnapshotId: id, operationId: operation.id });
    return operationView(operation);
  }

  /** The snapshots of a VM as one tree, oldest first: ours, and those that libvirt keeps record of. */
  async list(caller: Caller, vmId: string, query: ListVmSnapshots): Promise<VmSnapshot[]> {
    const vm = await requireVm(this.dataSource.manager, caller, vmId);
    const { state } = query;
    return this.views(vm, (one) => (state === undefined ? one.state !== 'Removed' : one.state === state));
  }

  async get(caller: Caller, snapshotId: string): Promise<VmSnapshot> {
    const found = await requireSnapshot(this.dataSource.manager, caller, snapshotId);
    const views = await this.views(found.vm, (one) => one.state !== 'Removed' || one.id === snapshotId);
    const view = views.find(({ id }) => id === snapshotId);
    if (view === undefined)
      throw new HoldfastError('BUG', `The snapshot ${snapshotId} has no view.`, { vmSnapshotId: snapshotId });
    return view;
  }

  /** Asks that a stopped VM, or the volumes of a volume snapshot, go on from the snapshot. VM_RUNNING while the VM runs. */
  async revert(caller: Caller, snapshotId: string): Promise<Operation> {
    const manager = this.dataSource.manager;
    const found = await requireSnapshot(manager, caller, snapshotId);
    if (found.origin === 'holdfast') demandReady(found.row, snapshotId);
    else demandOverlays(found.row);
    await this.demandHost(manager, found.vm);
    demandStopped(found.vm);
    const refusal = chainRefusal(found.vm);
    if (refusal !== undefined) throw refusal;
    const input: RevertSnapshotInput =
      found.origin === 'holdfast' ? { snapshotId, libvirtName: null } : { snapshotId: null, libvirtName: found.row.name };
    return this.ask(caller, found, 'RevertVmSnapshot', input);
  }

  /**
   * Asks that a snapshot be deleted. Its layer goes as far as nothing else needs it: until then the snapshot is Removed. One
   * that was never taken is only forgotten.
   */
  async delete(caller: Caller, snapshotId: string): Promise<Operation> {
    const manager = this.dataSource.manager;
    const found = await requireSnapshot(manager, caller, snapshotId);
    if (found.origin === 'holdfast') {
      demandDeletable(found.row);
      if (found.vm.powerState !== 'Gone') await this.demandHost(manager, found.vm);
      return this.ask(caller, found, 'DeleteVmSnapshots', { snapshotId, libvirtNames: [] });
    }
    demandOverlays(found.row);
    await this.demandHost(manager, found.vm);
    return this.ask(caller, found, 'DeleteVmSnapshots', { snapshotId: null, libvirtNames: [found.row.name] });
  }

  private async ask(
    caller: Caller,
    { vm, row }: FoundSnapshot,
    kind: 'RevertVmSnapshot' | 'DeleteVmSnapshots',
    input: RevertSnapshotInput | DeleteSnapshotsInput,
  ): Promise<Operation> {
    const operation = await this.dataSource.transaction((tx) =>
      this.queue.add(tx, { kind, vmId: vm.id, hostId: vm.hostId, vmSnapshotId: row.id, accountId: vm.accountId, input }),
    );
    const action = kind === 'RevertVmSnapshot' ? 'vm-snapshot.revert' : 'vm-snapshot.delete';
    this.audit.changed(caller, action, { vmId: vm.id, vmSnapshotId: row.id, operationId: operation.id });
    return operationView(operation);
  }

  private async views(vm: VmEntity, shows: Shows): Promise<VmSnapshot[]> {
    const manager = this.dataSource.manager;
    const snapshots = await manager.find(VmSnapshotEntity, { where: { vmId: vm.id }, order: { seq: 'ASC' } });
    const held = await manager.findBy(VmSnapshotVolumeEntity, { snapshotId: In(snapshots.map(({ id }) => id)) });
    const volumes = await manager.findBy(VolumeEntity, { vmId: vm.id });
    return snapshotViews({ vm, snapshots, held, volumes }, shows);
  }

  /** The VM is on a host that takes work. */
  private async demandHost(manager: EntityManager, vm: VmEntity): Promise<void> {
    if (vm.powerState === 'Gone' || vm.hostId === null) throw gone(vm);
    const problem = hostProblem(await requireHost(manager, vm.hostId));
    if (problem !== undefined) throw problem;
  }

  /** Refuses by what is known; what is known may be old, so a refusal is looked at again before it is said. */
  private async refuse(vm: VmEntity, input: CreateVmSnapshot): Promise<void> {
    if ((await this.refusal(vm, input)) === undefined) return;
    const fresh = await this.refresher.refresh(vm);
    if (fresh.powerState === 'Gone') throw gone(fresh);
    const still = await this.refusal(fresh, input);
    if (still !== undefined) throw still;
  }

  private async refusal(vm: VmEntity, input: CreateVmSnapshot): Promise<HoldfastError | undefined> {
    const where = { vmId: vm.id, attached: true };
    const attached = await this.dataSource.manager.find(VolumeEntity, { where, order: { target: 'ASC' } });
    try {
      const chosen = chosenVolumes(vm, attached, input.volumes ?? null);
      return backupRefusal(vm, chosen, input.quiesce, 'snapshotted');
    } catch (thrown) {
      return HoldfastError.from(thrown);
    }
  }
}

async function demandFreeName(manager: EntityManager, vm: VmEntity, name: string): Promise<void> {
  const taken =
    vm.libvirtSnapshots.some((snapshot) => snapshot.name === name) ||
    (await manager.existsBy(VmSnapshotEntity, { vmId: vm.id, name, state: In(['Creating', 'Ready', 'Deleting']) }));
  if (!taken) return;
  throw new HoldfastError('NAME_TAKEN', `The VM "${vm.name}" already has a snapshot "${name}". Choose another name.`, {
    vmId: vm.id,
    name,
  });
}

function demandDeletable(row: VmSnapshotEntity): void {
  if (row.state === 'Ready' || row.state === 'Failed') return;
  const why = {
    Creating: 'is still being taken; cancel its operation, or wait',
    Deleting: 'is being deleted already',
    Removed: 'is deleted already; its layer goes with the last branch that needs it',
  }[row.state];
  throw new HoldfastError('WRONG_STATE', `The snapshot "${row.name}" ${why}.`, { vmSnapshotId: row.id, state: row.state });
}
