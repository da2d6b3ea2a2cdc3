/**
 * RevertVmSnapshot: a stopped VM, or single volumes of it, go on from a snapshot. What backups tracked of the reverted
 * volumes ends: the next backup copies them in full.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation, RevertedVmSnapshot } from '../agents/agent-types.js';
import { chainRefusal } from '../backups/backup-refusals.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { demandSameOwner } from '../inventory/vm-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmSnapshotEntity, VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { recordChainChanges } from '../primary/chain-changes.js';
import { changesOf } from '../primary/changes-of.js';
import { endChain } from '../primary/end-chain.js';
import { adoptOverlays, judgedOverlays, libvirtOverlays } from '../primary/libvirt-overlays.js';
import { readPins } from '../primary/pins.js';
import { untrackDeltas } from '../primary/untrack.js';
import { recordTrouble } from '../vms/protection.js';
import { gone } from '../vms/vms.service.js';
import { planRevert, type HeldVolume } from './plan-snapshots.js';
import { revertSnapshotInputSchema, type RevertSnapshotInput } from './snapshot-input.js';
import { demandOfLibvirt, demandReady, demandStopped } from './snapshot-refusals.js';

@Injectable()
export class RevertSnapshotHandler implements OperationHandler {
  readonly kind = 'RevertVmSnapshot';

  constructor(
    private readonly dataSource: DataSource,
    private readonly refresher: VmRefresher,
    private readonly clock: Clock,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const manager = this.dataSource.manager;
    const input = revertSnapshotInputSchema.parse(operation.input);
    const known = await this.refresher.seek(await manager.findOneByOrFail(VmEntity, { id: operation.vmId }));
    demandSameOwner(known, operation);
    if (known.powerState === 'Gone' || known.hostId === null) throw gone(known);
    const problem = hostProblem(await requireHost(manager, known.hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };

    const vm = await this.refresher.refresh(known);
    if (vm.powerState === 'Gone' || vm.hostId === null) throw gone(vm);
    demandStopped(vm);
    const refusal = chainRefusal(vm);
    if (refusal !== undefined) throw refusal;
    const attached = await manager.findBy(VolumeEntity, { vmId: vm.id, attached: true });
    const volumes = planRevert({
      operationId: operation.id,
      vm,
      ...(await this.heldBy(manager, vm, input)),
      volumes: attached,
      deltas: await manager.findBy(VolumeDeltaEntity, { vmId: vm.id }),
      overlays: await judgedOverlays(manager, vm),
      pins: await readPins(manager, vm.id),
    });
    const reverted = attached.filter(({ id }) => volumes.some(({ key }) => key === id));
    return {
      kind: 'send',
      hostId: vm.hostId,
      command: { kind: 'revertVmSnapshot', request: { volumes } },
      record: async (tx, now) => {
        demandSameOwner(now, operation);
        await tx.delete(VolumeOverlayEntity, { operationId: operation.id });
        await tx.insert(
          VolumeOverlayEntity,
          volumes.map(({ key, newOverlayPath }) => ({
            id: this.clock.newId(),
            vmId: vm.id,
            volumeId: key,
            snapshotId: input.snapshotId,
            path: newOverlayPath,
            inode: null,
            state: 'Intended' as const,
            branch: false,
            operationId: operation.id,
          })),
        );
        await adoptOverlays(tx, vm.id, operation.id, libvirtOverlays(vm, reverted), () => this.clock.newId());
      },
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.state === 'Succeeded' && outcome.result?.kind === 'revertVmSnapshot') {
      await this.recordSuccess(manager, operation, vm, outcome.result.value);
    } else if (outcome.outcome === 'AsBefore') await manager.delete(VolumeOverlayEntity, { operationId: operation.id });
    else await manager.update(VolumeOverlayEntity, { operationId: operation.id, state: 'Intended' }, { state: 'Leftover' });
    await recordTrouble(manager, vm, outcome.outcome, outcome.error, this.clock.now());
  }

  async applyRefusal(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, _error: HoldfastError): Promise<void> {
    await manager.delete(VolumeOverlayEntity, { operationId: operation.id });
  }

  async applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    await manager.update(VolumeOverlayEntity, { operationId: operation.id, state: 'Intended' }, { state: 'Leftover' });
    await recordTrouble(manager, vm, 'Unknown', error.toData(), this.clock.now());
  }

  /** What the snapshot holds, and its name. */
  private async heldBy(
    manager: EntityManager,
    vm: VmEntity,
    input: RevertSnapshotInput,
  ): Promise<{ snapshotName: string; held: HeldVolume[] }> {
    if (input.snapshotId === null) {
      const row = demandOfLibvirt(vm, input.libvirtName ?? '');
      const held = row.disks.map(({ target, pinnedPath }) => ({ volumeId: undefined, target, path: pinnedPath }));
      return { snapshotName: row.name, held };
    }
    const row = demandReady(await manager.findOneBy(VmSnapshotEntity, { id: input.snapshotId, vmId: vm.id }), input.snapshotId);
    const rows = await manager.find(VmSnapshotVolumeEntity, { where: { snapshotId: row.id }, order: { target: 'ASC' } });
    return {
      snapshotName: row.name,
      held: rows.map(({ volumeId, target, pinnedPath }) => ({ volumeId, target, path: pinnedPath })),
    };
  }

  private async recordSuccess(
    manager: EntityManager,
    operation: OperationEntity,
    vm: VmEntity,
    result: RevertedVmSnapshot,
  ): Promise<void> {
    const input = revertSnapshotInputSchema.parse(operation.input);
    // Overlays of virsh that were in the chains are in branches now.
    await manager.update(VolumeOverlayEntity, { operationId: operation.id, state: 'Present' }, { branch: true });
    for (const { key, overlayPath, overlayInode } of result.volumes) {
      const overlay = { path: overlayPath, inode: overlayInode, state: 'Present' as const };
      await manager.update(VolumeOverlayEntity, { operationId: operation.id, volumeId: key, state: 'Intended' }, overlay);
    }
    const reverted = result.volumes.map((volume) => volume.key);
    await this.leaveBranches(manager, operation, reverted);
    if (input.snapshotId !== null) await manager.update(VmEntity, { id: vm.id }, { currentSnapshotId: input.snapshotId });
    const attached = await manager.find(VolumeEntity, { select: { id: true }, where: { vmId: vm.id, attached: true } });
    if (vm.headBackupId === null || attached.some(({ id }) => !reverted.includes(id))) return;
    const name = input.libvirtName ?? (await manager.findOneBy(VmSnapshotEntity, { id: input.snapshotId ?? '' }))?.name ?? '';
    await endChain(manager, vm.id, `the VM was reverted to snapshot "${name}"`);
  }

  /**
   * What stayed of the layers that were in the chain or in branches may be in a branch now; the next look says which are in
   * the chain. Deltas among them track nothing any more. A layer that was in no chain before is not touched by this.
   */
  private async leaveBranches(manager: EntityManager, operation: OperationEntity, reverted: readonly string[]): Promise<void> {
    const command = operation.request;
    if (command?.kind !== 'revertVmSnapshot') return;
    const named = command.request.volumes.flatMap((volume) => volume.settle.deltaPaths);
    const volumeId = In([...reverted]);
    await manager.update(VolumeOverlayEntity, { volumeId, path: In(named) }, { branch: true, state: 'Present' });
    const deltas = await manager.findBy(VolumeDeltaEntity, { volumeId });
    await untrackDeltas(
      manager,
      deltas.filter((delta) => named.includes(delta.path)),
      true,
    );
    await untrackDeltas(
      manager,
      deltas.filter((delta) => !named.includes(delta.path) && delta.state === 'Present'),
      false,
    );
  }
}
