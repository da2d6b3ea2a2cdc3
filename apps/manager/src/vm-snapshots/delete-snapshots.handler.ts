/**
 * DeleteVmSnapshots: a snapshot ceases to be one at once; its layers go as far as nothing else needs them. One whose layer
 * stays is Removed, and vanishes with the last branch that needs it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation } from '../agents/agent-types.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmSnapshotEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { recordAtRest } from '../primary/at-rest.js';
import { forgetSnapshot, recordChainChanges } from '../primary/chain-changes.js';
import { changesOf } from '../primary/changes-of.js';
import { adoptOverlays, judgedOverlays, libvirtOverlays } from '../primary/libvirt-overlays.js';
import { pinsOf, readPins } from '../primary/pins.js';
import { settleVolume } from '../primary/plan-settle.js';
import { recordProtection, recordTrouble } from '../vms/protection.js';
import { deleteSnapshotsInputSchema } from './snapshot-input.js';

@Injectable()
export class DeleteSnapshotsHandler implements OperationHandler {
  readonly kind = 'DeleteVmSnapshots';

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
    const { snapshotId, libvirtNames } = deleteSnapshotsInputSchema.parse(operation.input);
    const known = await this.refresher.seek(await manager.findOneByOrFail(VmEntity, { id: operation.vmId }));
    const snapshot = snapshotId === null ? null : await manager.findOneBy(VmSnapshotEntity, { id: snapshotId });
    if (snapshotId !== null && (snapshot === null || snapshot.state === 'Removed'))
      return { kind: 'done', plan: ['the snapshot is deleted already'], record: async () => {} };
    if (snapshot?.state === 'Failed') return onRecord(snapshot, 'the snapshot was never taken: it is forgotten');
    if (known.powerState === 'Gone' || known.hostId === null) return this.withoutVm(known, snapshot);
    const problem = hostProblem(await requireHost(manager, known.hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };

    const vm = await this.refresher.refresh(known);
    if (vm.powerState === 'Gone' || vm.hostId === null) return this.withoutVm(vm, snapshot);
    // A VM in BackupError is not refused: a snapshot whose layer was lost keeps its chains unexplained until it is deleted.
    const obstacle = vm.problems[0];
    if (obstacle !== undefined) throw HoldfastError.fromData({ ...obstacle, fields: { ...obstacle.fields, vmId: vm.id } });
    const attached = await manager.findBy(VolumeEntity, { vmId: vm.id, attached: true });
    const volumes = attached.filter(({ refusal }) => refusal === null);
    const overlays = await judgedOverlays(manager, vm, libvirtNames);
    const adopted = libvirtOverlays(vm, volumes, libvirtNames);
    const deltas = await manager.findBy(VolumeDeltaEntity, { vmId: vm.id });
    const pins = await readPins(manager, vm.id, new Set(snapshotId === null ? [] : [snapshotId]));
    const rows = {
      deltas,
      overlays: [...overlays, ...adopted.map((overlay) => ({ ...overlay, branch: false, state: 'Present' as const }))],
    };
    const isHeads = (delta: { backupId: string }): boolean => delta.backupId === vm.headBackupId;
    return {
      kind: 'send',
      hostId: vm.hostId,
      command: {
        kind: 'deleteVmSnapshots',
        request: {
          volumes: volumes
            .map((volume) => settleVolume(volume, rows, pinsOf(pins, volume.id), isHeads))
            .filter((volume) => volume.deltaPaths.length > 0),
          libvirtSnapshotNames: vm.libvirtSnapshots.map(({ name }) => name).filter((name) => libvirtNames.includes(name)),
        },
      },
      record: async (tx) => {
        if (snapshot !== null) await tx.update(VmSnapshotEntity, { id: snapshot.id }, { state: 'Deleting' });
        await adoptOverlays(tx, vm.id, operation.id, adopted, () => this.clock.newId());
      },
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    const { snapshotId } = deleteSnapshotsInputSchema.parse(operation.input);
    const undone = outcome.state !== 'Succeeded' && outcome.outcome === 'AsBefore';
    if (snapshotId !== null) await manager.update(VmSnapshotEntity, { id: snapshotId }, { state: undone ? 'Ready' : 'Removed' });
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.state !== 'Succeeded' || outcome.outcome !== 'AsAfter')
      return recordTrouble(manager, vm, outcome.outcome, outcome.error, this.clock.now());
    const command = operation.request;
    if (command?.kind === 'deleteVmSnapshots') await recordAtRest(manager, vm.id, command.request.volumes, []);
    await recordProtection(manager, vm, outcome.outcome, outcome.error, this.clock.now());
  }

  async applyRefusal(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, _error: HoldfastError): Promise<void> {
    const { snapshotId } = deleteSnapshotsInputSchema.parse(operation.input);
    if (snapshotId !== null) await manager.update(VmSnapshotEntity, { id: snapshotId, state: 'Deleting' }, { state: 'Ready' });
  }

  /** Its content may be gone already: it is no snapshot any more, and the clean-up sees to its layers. */
  async applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    const { snapshotId } = deleteSnapshotsInputSchema.parse(operation.input);
    if (snapshotId !== null) await manager.update(VmSnapshotEntity, { id: snapshotId }, { state: 'Removed' });
    await recordTrouble(manager, vm, 'Unknown', error.toData(), this.clock.now());
  }

  /** No host has the VM: its files stay where they are. */
  private withoutVm(vm: VmEntity, snapshot: VmSnapshotEntity | null): Preparation {
    const plan = `no host knows the VM "${vm.name}" any more: the snapshot is forgotten, its files stay where they are`;
    if (snapshot === null) return { kind: 'done', plan: [plan], record: async () => {} };
    return onRecord(snapshot, plan);
  }
}

function onRecord(snapshot: VmSnapshotEntity, plan: string): Preparation {
  return { kind: 'done', plan: [plan], record: (manager) => forgetSnapshot(manager, snapshot.vmId, snapshot.id) };
}
