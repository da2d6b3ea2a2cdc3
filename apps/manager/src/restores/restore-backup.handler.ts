/** RestoreBackup: new files for the VM's disks, recorded in one transaction when the agent is finished. The chain ends. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, Not, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation, RestoredVolume } from '../agents/agent-types.js';
import type { RestoreBackup } from '../persistence/agent-command.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { SupersededFileEntity, VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { storageAccess } from '../storage/storage-view.js';
import { recordProtection } from '../vms/protection.js';
import { planRestore } from './plan-restore.js';
import { restoreInputSchema, vmRunning } from './restore-input.js';

const COROUTINES = 8;

@Injectable()
export class RestoreBackupHandler implements OperationHandler {
  readonly kind = 'RestoreBackup';

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
    const input = restoreInputSchema.parse(operation.input);
    const known = await manager.findOneByOrFail(VmEntity, { id: operation.vmId });
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

    const gone = vm.powerState === 'Gone';
    const plan = planRestore({
      operationId: operation.id,
      vmIsGone: gone,
      backupName: backup.name,
      backupVolumes: await manager.find(BackupVolumeEntity, { where: { backupId: backup.id }, order: { target: 'ASC' } }),
      volumes: await manager.findBy(VolumeEntity, { vmId: vm.id }),
      deltas: await manager.findBy(VolumeDeltaEntity, { vmId: vm.id }),
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
      mergeVolumes: plan.mergeVolumes.map((volume) => ({ ...volume, pins: [], templatePath: '' })),
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
      record: async (tx) => {
        for (const volume of request.volumes) await tx.update(VolumeEntity, { id: volume.key }, { intendedPath: volume.newPath });
      },
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    if (outcome.state === 'Succeeded' && outcome.result?.kind === 'restoreBackup') {
      await this.recordSuccess(manager, operation, vm, outcome.result.value.volumes, outcome.outcome === 'AsAfter');
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
    mergesDone: boolean,
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
      await manager.delete(VolumeDeltaEntity, { volumeId: volume.key });
      if (volume.oldPaths.length > 0) {
        await manager.insert(
          SupersededFileEntity,
          volume.oldPaths.map((path) => ({
            id: this.clock.newId(),
            vmId: vm.id,
            volumeId: volume.key,
            hostId: operation.hostId ?? '',
            path,
            operationId: operation.id,
            supersededAt: now,
          })),
        );
      }
    }
    const command = operation.request;
    const merged = command?.kind === 'restoreBackup' ? command.request.mergeVolumes.flatMap((volume) => volume.deltaPaths) : [];
    if (mergesDone && merged.length > 0) await manager.delete(VolumeDeltaEntity, { vmId: vm.id, path: In(merged) });
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
}
