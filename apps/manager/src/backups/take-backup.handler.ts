/** TakeBackup: planned from a fresh look at the VM, recorded in one transaction when the agent is finished. */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation, TakenBackup } from '../agents/agent-types.js';
import type { TakeBackup } from '../persistence/agent-command.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { VmEntity, VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { changesOf } from '../primary/changes-of.js';
import { recordChainChanges } from '../primary/chain-changes.js';
import { endChain } from '../primary/end-chain.js';
import { SettingsService } from '../settings/settings.service.js';
import { storageAccess } from '../storage/storage-view.js';
import { StoragesService } from '../storage/storages.service.js';
import { recordProtection } from '../vms/protection.js';
import { gone } from '../vms/vms.service.js';
import { readPlanFacts } from './backup-facts.js';
import { backupRefusal } from './backup-refusals.js';
import { noteRetention } from './note-retention.js';
import type { BackupPlan } from './plan-backup.js';
import { planWithFreshStorages } from './plan-with-fresh-storages.js';

/** qemu-img convert reads and writes so many clusters at once. */
const COROUTINES = 8;

@Injectable()
export class TakeBackupHandler implements OperationHandler {
  readonly kind = 'TakeBackup';

  constructor(
    private readonly dataSource: DataSource,
    private readonly refresher: VmRefresher,
    private readonly settings: SettingsService,
    private readonly storages: StoragesService,
    private readonly clock: Clock,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const manager = this.dataSource.manager;
    const known = await this.refresher.seek(await manager.findOneByOrFail(VmEntity, { id: operation.vmId }));
    const backup = await backupOf(manager, operation);
    if (known.powerState === 'Gone' || known.hostId === null) throw gone(known);
    if (known.offeringId === null)
      throw new HoldfastError(
        'NO_OFFERING',
        `The VM "${known.name}" was removed from its backup offering before the backup began.`,
        { vmId: known.id },
      );
    const problem = hostProblem(await requireHost(manager, known.hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };

    const vm = await this.refresher.refresh(known);
    if (vm.powerState === 'Gone' || vm.hostId === null) throw gone(vm);
    const facts = await readPlanFacts(manager, this.settings, vm, backup);
    const refusal = backupRefusal(vm, facts.volumes, backup.quiesce);
    if (refusal !== undefined) throw refusal;
    const { settings, storages } = this;
    const { plan } = await planWithFreshStorages({ manager, settings, storages }, vm, backup);
    const storage = await manager.findOneByOrFail(StorageEntity, { id: plan.storage.storageId });
    const freezeBudgetMs = (await this.settings.resolve('backup.freeze.budget', vm.zoneId)) * 1000;
    return {
      kind: 'send',
      hostId: vm.hostId,
      command: { kind: 'takeBackup', request: toRequest(vm, backup, plan, storage, freezeBudgetMs) },
      record: (tx) => this.recordIntent(tx, vm.id, backup, plan),
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    const backup = await backupOf(manager, operation);
    if (outcome.state === 'Succeeded' && outcome.result?.kind === 'takeBackup') {
      await this.recordSuccess(manager, vm, backup, outcome, outcome.result.value);
      // A delta that stayed keeps its row, this backup's own too: a snapshot needs it, or its merge is still to be done.
      await recordChainChanges(manager, vm.id, changesOf(outcome));
      await recordProtection(manager, vm, outcome.outcome, outcome.error, this.clock.now());
      return;
    }
    const atRest = outcome.outcome === 'AsBefore';
    const leftovers = !atRest || leftFolder(outcome);
    await this.recordFailure(manager, backup, outcome.error ?? unknownError(operation), outcome.warnings, leftovers);
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.error?.code === 'BACKUP_DAMAGED') await this.endDamagedChain(manager, vm, backup, outcome.error);
    // A VM whose disks are at rest waits for the clean-up of the storage alone.
    const pending = atRest && leftovers ? 'MergePending' : outcome.outcome;
    await recordProtection(manager, vm, pending, outcome.error, this.clock.now());
  }

  async applyRefusal(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, error: HoldfastError): Promise<void> {
    await this.recordFailure(manager, await backupOf(manager, operation), error.toData(), [], false);
  }

  async applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    await this.recordFailure(manager, await backupOf(manager, operation), error.toData(), [], true);
    await recordProtection(manager, vm, 'Unknown', error.toData(), this.clock.now());
  }

  /** The paths are on record before the agent makes the first of them. */
  private async recordIntent(manager: EntityManager, vmId: string, backup: BackupEntity, plan: BackupPlan): Promise<void> {
    await manager.update(
      BackupEntity,
      { id: backup.id },
      {
        state: 'BackingUp',
        type: plan.decision.type,
        fullReason: plan.fullReason ?? null,
        endOfChain: plan.decision.endOfChain,
        parentId: plan.decision.parentId ?? null,
        storageId: plan.storage.storageId,
        storageReason: plan.storage.reason,
      },
    );
    await manager.delete(BackupVolumeEntity, { backupId: backup.id });
    await manager.delete(VolumeDeltaEntity, { backupId: backup.id });
    await manager.insert(
      BackupVolumeEntity,
      plan.volumes.map((volume) => ({
        backupId: backup.id,
        key: volume.key,
        target: volume.target,
        file: volume.file,
        parentFile: volume.parentFile ?? null,
        copiedInFull: volume.copiedInFull,
        copiedInFullReason: volume.copiedInFullReason ?? null,
      })),
    );
    await manager.insert(
      VolumeDeltaEntity,
      plan.volumes.map((volume) => ({
        id: this.clock.newId(),
        vmId,
        volumeId: volume.key,
        backupId: backup.id,
        path: volume.newDeltaPath,
        inode: null,
        state: 'Intended' as const,
      })),
    );
  }

  private async recordSuccess(
    manager: EntityManager,
    vm: VmEntity,
    backup: BackupEntity,
    outcome: AgentOperation,
    result: TakenBackup,
  ): Promise<void> {
    await manager.update(
      BackupEntity,
      { id: backup.id },
      {
        state: 'BackedUp',
        quiesced: result.quiesced,
        frozenMs: result.frozenMs,
        frozenAt: new Date(Number(result.frozenAtUnixMs)),
        sizeBytes: result.sizeBytes,
        warnings: [...outcome.warnings],
        finishedAt: this.clock.now(),
      },
    );
    for (const volume of result.volumes) {
      await manager.update(
        BackupVolumeEntity,
        { backupId: backup.id, key: volume.key },
        {
          target: volume.target,
          sizeBytes: volume.sizeBytes,
          virtualSizeBytes: volume.virtualSizeBytes,
          digest: volume.digest,
          copiedInFull: volume.copiedInFull,
        },
      );
      await manager.update(
        VolumeDeltaEntity,
        { volumeId: volume.key, backupId: backup.id },
        volume.deltaPath === '' ? { state: 'Present' } : { path: volume.deltaPath, inode: volume.deltaInode, state: 'Present' },
      );
    }
    await noteRetention(manager, backup, this.clock.now());
    if (backup.isolated) {
      await manager.update(VmEntity, { id: vm.id }, { lastBackupAt: new Date(Number(result.frozenAtUnixMs)) });
      return;
    }
    await manager.update(
      VmEntity,
      { id: vm.id },
      {
        headBackupId: backup.endOfChain ? null : backup.id,
        chainEndedReason: backup.endOfChain ? `the backup "${backup.name}" was the end of its chain` : null,
        lastBackupAt: new Date(Number(result.frozenAtUnixMs)),
      },
    );
  }

  /** Nothing can be put on the parent any more: every later backup would fail as this one did. */
  private async endDamagedChain(manager: EntityManager, vm: VmEntity, backup: BackupEntity, error: ErrorData): Promise<void> {
    if (backup.parentId === null || vm.headBackupId !== backup.parentId) return;
    const { backupId = backup.parentId, path = '' } = error.fields;
    const damaged = await manager.findOneBy(BackupEntity, { id: backupId });
    await endChain(manager, vm.id, `the backup "${damaged?.name ?? backupId}" is not whole on its storage (${path})`);
  }

  /** `leftovers`: its deltas and its folder may be there still; they are on record until a clean-up has seen to them. */
  private async recordFailure(
    manager: EntityManager,
    backup: BackupEntity,
    error: ErrorData,
    warnings: readonly string[],
    leftovers: boolean,
  ): Promise<void> {
    await manager.update(
      BackupEntity,
      { id: backup.id },
      {
        state: 'Failed',
        error: error as object,
        warnings: [...warnings],
        leftoversOnStorage: leftovers,
        finishedAt: this.clock.now(),
      },
    );
    await manager.delete(BackupVolumeEntity, { backupId: backup.id });
    if (leftovers) await manager.update(VolumeDeltaEntity, { backupId: backup.id }, { state: 'Leftover' });
    else await manager.delete(VolumeDeltaEntity, { backupId: backup.id });
  }
}

/** The agent had begun a folder on secondary, and could not take it away: the storage was full, hanging or gone. */
function leftFolder(outcome: AgentOperation): boolean {
  const state = (name: string): string | undefined => outcome.steps.find((step) => step.name === name)?.state;
  return state('prepare') !== undefined && state('undo-discard-folder') !== 'Done';
}

function backupOf(manager: EntityManager, operation: OperationEntity): Promise<BackupEntity> {
  return manager.findOneByOrFail(BackupEntity, { id: operation.backupId ?? '' });
}

function unknownError(operation: OperationEntity): ErrorData {
  return new HoldfastError('BUG', 'The agent did not say why the backup failed.', { operationId: operation.id }).toData();
}

function toRequest(
  vm: VmEntity,
  backup: BackupEntity,
  plan: BackupPlan,
  storage: StorageEntity,
  freezeBudgetMs: number,
): TakeBackup {
  return {
    storage: storageAccess(storage),
    backupId: backup.id,
    backupName: backup.name,
    type: plan.decision.type,
    parentBackupId: plan.decision.parentId ?? '',
    isolated: plan.decision.isolated,
    endOfChain: plan.decision.endOfChain,
    quiesce: backup.quiesce,
    freezeBudgetMs,
    volumes: plan.volumes.map(
      ({ key, target, activePath, newDeltaPath, parentDeltaPath, parentDeltaInode, mergeDeltaPaths, templatePath, pins }) => ({
        key,
        target,
        activePath,
        newDeltaPath,
        parentDeltaPath,
        parentDeltaInode,
        mergeDeltaPaths,
        templatePath,
        pins,
      }),
    ),
    coroutines: COROUTINES,
    manifestNotes: {
      ...(backup.description === '' ? {} : { description: backup.description }),
      ...(plan.fullReason === undefined ? {} : { fullReason: plan.fullReason }),
      ...(vm.accountId === null ? {} : { accountId: vm.accountId }),
    },
    vmSettings: vm.settings,
  };
}
