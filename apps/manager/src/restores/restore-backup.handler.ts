/** RestoreBackup: new files for the VM's disks, recorded in one transaction when the agent is finished. The chain ends. */
import { Injectable } from '@nestjs/common';
import { DataSource, Not, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation, RestoredVolume } from '../agents/agent-types.js';
import type { RestoreBackup } from '../persistence/agent-command.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { demandSameOwner } from '../inventory/vm-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { VmSnapshotEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { SupersededFileEntity, VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { changesOf } from '../primary/changes-of.js';
import { forgetSnapshot, recordChainChanges } from '../primary/chain-changes.js';
import { storageAccess } from '../storage/storage-view.js';
import type { DeleteSnapshotsInput } from '../vm-snapshots/snapshot-input.js';
import { recordProtection } from '../vms/protection.js';
import { planRestore } from './plan-restore.js';
import { forgetOldTree } from './old-tree.js';
import { restoreInputSchema, vmRunning } from './restore-input.js';
import { snapshotsInTheWay } from './snapshots-in-the-way.js';

const COROUTINES = 8;

@Injectable()
export class RestoreBackupHandler implements OperationHandler {
  readonly kind = 'RestoreBackup';

  constructor(
    private readonly dataSource: DataSource,
    private readonly refresher: VmRefresher,
    private readonly clock: Clock,
    private readonly queue: OperationQueue,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const manager = this.dataSource.manager;
    const input = restoreInputSchema.parse(operation.input);
    const known = await manager.findOneByOrFail(VmEntity, { id: operation.vmId });
    demandSameOwner(known, operation);
    const backup = await manager.findOneByOrFail(BackupEntity, { id: operation.backupId ?? '' });
    if (backup.state !== 'BackedUp') {
      throw new HoldfastError(
        'WRONG_STATE',
        `The backup "${backup.name}" is ${backup.state}; only one that is BackedUp can be restored.`,
        { backupId: backup.id, state: backup.state },
      );
    }
    const hostId = input.hostId ?? known.hostId ?? '';
    const problem = hostProblem(await requireHost(manager, hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };

    const vm = await this.refresher.refresh({ ...known, hostId });
    if (vm.powerState === 'Running' || vm.powerState === 'Paused') throw vmRunning(vm);
    if (vm.powerState === 'Other')
      throw new HoldfastError(
        'WRONG_STATE',
        `The VM "${vm.name}" is neither running nor shut off just now. Wait until it is shut off, then try again.`,
        { vmId: vm.id },
      );
    const obstacle = vm.problems[0];
    if (obstacle !== undefined) throw HoldfastError.fromData({ ...obstacle, fields: { ...obstacle.fields, vmId: vm.id } });

    const inTheWay = input.dropSnapshots ? undefined : await snapshotsInTheWay(manager, vm);
    if (inTheWay !== undefined) throw inTheWay;
    const gone = vm.powerState === 'Gone';
    const plan = planRestore({
      operationId: operation.id,
      vmIsGone: gone,
      backupName: backup.name,
      backupVolumes: await manager.find(BackupVolumeEntity, { where: { backupId: backup.id }, order: { target: 'ASC' } }),
      volumes: await manager.findBy(VolumeEntity, { vmId: vm.id }),
      deltas: await manager.findBy(VolumeDeltaEntity, { vmId: vm.id }),
      overlays: await manager.findBy(VolumeOverlayEntity, { vmId: vm.id }),
    });
    const storage = await manager.findOneByOrFail(StorageEntity, { id: backup.storageId });
    const request: RestoreBackup = {
      storage: storageAccess(storage),
      backupId: backup.id,
      volumes: plan.volumes.map(({ key, target, currentPath, newPath, templatePath }) => ({
        key,
        target,
        currentPath,
        newPath,
        templatePath,
      })),
      mergeVolumes: plan.mergeVolumes,
      coroutines: COROUTINES,
      defineMissingAs: gone ? vm.name : '',
      acceptDamaged: input.acceptDamaged,
    };
    return {
      kind: 'send',
      // A VM that exists is restored where it is, also when it has just moved there.
      hostId: gone ? hostId : (vm.hostId ?? hostId),
      command: { kind: 'restoreBackup', request },
      // The disks are known again by these paths when they show up before the agent has said that it is done.
      record: async (tx, now) => {
        demandSameOwner(now, operation);
        for (const volume of request.volumes) await tx.update(VolumeEntity, { id: volume.key }, { intendedPath: volume.newPath });
      },
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.state === 'Succeeded' && outcome.result?.kind === 'restoreBackup') {
      await this.recordSuccess(manager, operation, vm, outcome.result.value.volumes);
    } else if (outcome.outcome === 'AsBefore') {
      await manager.update(VolumeEntity, { vmId: vm.id }, { intendedPath: null });
    }
    await recordProtection(manager, vm, outcome.outcome, outcome.error, this.clock.now());
  }

  async applyRefusal(manager: EntityManager, _operation: OperationEntity, vm: VmEntity, _error: HoldfastError): Promise<void> {
    await manager.update(VolumeEntity, { vmId: vm.id }, { intendedPath: null });
  }

  async applyLoss(manager: EntityManager, _operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    await recordProtection(manager, vm, 'Unknown', error.toData(), this.clock.now());
  }

  private async recordSuccess(
    manager: EntityManager,
    operation: OperationEntity,
    vm: VmEntity,
    restored: readonly RestoredVolume[],
  ): Promise<void> {
    const backup = await manager.findOneByOrFail(BackupEntity, { id: operation.backupId ?? '' });
    const now = this.clock.now();
    for (const volume of restored) {
      // A disk that came back and was seen before this was written is the volume that it was.
      await manager.delete(VolumeEntity, { vmId: vm.id, basePath: volume.newPath, id: Not(volume.key) });
      await manager.update(
        VolumeEntity,
        { id: volume.key },
        { target: volume.target, attached: true, basePath: volume.newPath, templatePath: null, intendedPath: null },
      );
      const beside = await forgetOldTree(manager, volume);
      if (volume.oldPaths.length + beside.length > 0) {
        await manager.insert(
          SupersededFileEntity,
          [...beside, ...volume.oldPaths].map((path) => ({
            id: this.clock.newId(),
            vmId: vm.id,
            volumeId: volume.key,
            // A VM that was gone left its files where it was.
            hostId: vm.hostId ?? operation.hostId ?? '',
            path,
            operationId: operation.id,
            byNameOnly: false,
            supersededAt: now,
          })),
        );
      }
    }
    await this.forgetSnapshots(manager, vm);
    if (vm.headBackupId !== null) await manager.update(BackupEntity, { id: vm.headBackupId }, { endOfChain: true });
    await manager.update(
      VmEntity,
      { id: vm.id },
      {
        hostId: operation.hostId,
        powerState: 'Stopped',
        headBackupId: null,
        chainEndedReason: `the VM was restored from backup "${backup.name}" (${backup.id})`,
      },
    );
  }

  /**
   * No file of the restored VM holds them. The records that libvirt keeps are removed by an operation of its own; until then
   * the agent releases nothing that they name. A snapshot that waits to be taken is taken of the restored VM.
   */
  private async forgetSnapshots(manager: EntityManager, vm: VmEntity): Promise<void> {
    const own = await manager.find(VmSnapshotEntity, { where: { vmId: vm.id, state: Not('Creating') }, order: { seq: 'ASC' } });
    for (const snapshot of own) await forgetSnapshot(manager, vm.id, snapshot.id);
    await manager.update(VmEntity, { id: vm.id }, { currentSnapshotId: null });
    if (vm.libvirtSnapshots.length === 0) return;
    const input: DeleteSnapshotsInput = { snapshotId: null, libvirtNames: vm.libvirtSnapshots.map(({ name }) => name) };
    const { hostId, accountId } = vm;
    await this.queue.add(manager, { kind: 'DeleteVmSnapshots', vmId: vm.id, hostId, accountId, input });
  }
}
