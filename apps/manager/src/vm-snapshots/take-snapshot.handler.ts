/** TakeVmSnapshot: planned from a fresh look at the VM; every path is on record before the agent makes the first overlay. */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation, TakenVmSnapshot } from '../agents/agent-types.js';
import { backupRefusal } from '../backups/backup-refusals.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import type { TakeVmSnapshot } from '../persistence/agent-command.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmSnapshotEntity, VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { recordChainChanges } from '../primary/chain-changes.js';
import { changesOf } from '../primary/changes-of.js';
import { SettingsService } from '../settings/settings.service.js';
import { recordTrouble } from '../vms/protection.js';
import { gone } from '../vms/vms.service.js';
import { chosenVolumes, planSnapshot } from './plan-snapshots.js';
import { takeSnapshotInputSchema } from './snapshot-input.js';

@Injectable()
export class TakeSnapshotHandler implements OperationHandler {
  readonly kind = 'TakeVmSnapshot';

  constructor(
    private readonly dataSource: DataSource,
    private readonly refresher: VmRefresher,
    private readonly settings: SettingsService,
    private readonly clock: Clock,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const manager = this.dataSource.manager;
    const { targets } = takeSnapshotInputSchema.parse(operation.input);
    const known = await this.refresher.seek(await manager.findOneByOrFail(VmEntity, { id: operation.vmId }));
    const snapshot = await manager.findOneByOrFail(VmSnapshotEntity, { id: operation.vmSnapshotId ?? '' });
    if (known.powerState === 'Gone' || known.hostId === null) throw gone(known);
    const problem = hostProblem(await requireHost(manager, known.hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };

    const vm = await this.refresher.refresh(known);
    if (vm.powerState === 'Gone' || vm.hostId === null) throw gone(vm);
    const attached = await manager.find(VolumeEntity, { where: { vmId: vm.id, attached: true }, order: { target: 'ASC' } });
    const chosen = chosenVolumes(vm, attached, targets);
    const refusal = backupRefusal(vm, chosen, snapshot.quiesce, 'snapshotted');
    if (refusal !== undefined) throw refusal;
    const volumes = planSnapshot(snapshot.id, chosen);
    const freezeBudgetMs = (await this.settings.resolve('backup.freeze.budget', vm.zoneId)) * 1000;
    return {
      kind: 'send',
      hostId: vm.hostId,
      command: { kind: 'takeVmSnapshot', request: { volumes, quiesce: snapshot.quiesce, freezeBudgetMs } },
      record: (tx) => this.recordIntent(tx, operation, snapshot, volumes),
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.state === 'Succeeded' && outcome.result?.kind === 'takeVmSnapshot') {
      await this.recordSuccess(manager, operation, vm, outcome.result.value);
    } else {
      const error =
        outcome.error ??
        new HoldfastError('BUG', 'The agent did not say why the snapshot failed.', { operationId: operation.id }).toData();
      await this.recordFailure(manager, operation, error, outcome.outcome !== 'AsBefore');
    }
    await recordTrouble(manager, vm, outcome.outcome, outcome.error, this.clock.now());
  }

  async applyRefusal(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, error: HoldfastError): Promise<void> {
    await this.recordFailure(manager, operation, error.toData(), false);
  }

  async applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    await this.recordFailure(manager, operation, error.toData(), true);
    await recordTrouble(manager, vm, 'Unknown', error.toData(), this.clock.now());
  }

  private async recordIntent(
    manager: EntityManager,
    operation: OperationEntity,
    snapshot: VmSnapshotEntity,
    volumes: TakeVmSnapshot['volumes'],
  ): Promise<void> {
    await manager.delete(VmSnapshotVolumeEntity, { snapshotId: snapshot.id });
    await manager.delete(VolumeOverlayEntity, { operationId: operation.id });
    await manager.insert(
      VmSnapshotVolumeEntity,
      volumes.map(({ key, target, activePath }) => ({
        snapshotId: snapshot.id,
        volumeId: key,
        target,
        pinnedPath: activePath,
      })),
    );
    await manager.insert(
      VolumeOverlayEntity,
      volumes.map(({ key, newOverlayPath }) => ({
        id: this.clock.newId(),
        vmId: snapshot.vmId,
        volumeId: key,
        snapshotId: snapshot.id,
        path: newOverlayPath,
        inode: null,
        state: 'Intended' as const,
        branch: false,
        operationId: operation.id,
      })),
    );
  }

  private async recordSuccess(
    manager: EntityManager,
    operation: OperationEntity,
    vm: VmEntity,
    result: TakenVmSnapshot,
  ): Promise<void> {
    const id = operation.vmSnapshotId ?? '';
    for (const { key, pinnedPath, overlayPath, overlayInode } of result.volumes) {
      await manager.update(VmSnapshotVolumeEntity, { snapshotId: id, volumeId: key }, { pinnedPath });
      const overlay = { path: overlayPath, inode: overlayInode, state: 'Present' as const };
      await manager.update(VolumeOverlayEntity, { operationId: operation.id, volumeId: key }, overlay);
    }
    await manager.update(
      VmSnapshotEntity,
      { id },
      {
        state: 'Ready',
        parentId: vm.currentSnapshotId,
        quiesced: result.quiesced,
        frozenMs: result.frozenMs,
        frozenAt: new Date(Number(result.frozenAtUnixMs)),
      },
    );
    await manager.update(VmEntity, { id: vm.id }, { currentSnapshotId: id });
  }

  /** `leftovers`: its overlays may be there still; they are on record until a clean-up has seen to them. */
  private async recordFailure(
    manager: EntityManager,
    operation: OperationEntity,
    error: ErrorData,
    leftovers: boolean,
  ): Promise<void> {
    const id = operation.vmSnapshotId ?? '';
    await manager.update(VmSnapshotEntity, { id }, { state: 'Failed', error: error as object });
    await manager.delete(VmSnapshotVolumeEntity, { snapshotId: id });
    const own = { operationId: operation.id };
    if (leftovers) await manager.update(VolumeOverlayEntity, own, { state: 'Leftover', snapshotId: null });
    else await manager.delete(VolumeOverlayEntity, own);
  }
}
