/**
 * DeleteBackups: planned when its turn comes, recorded in one transaction when the agent is finished. Owns what becomes of
 * the rows: BackedUp → Removed when the command is stored → Expunged when the files are gone, else DeleteFailed.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { planDeletion, type DeletionPlan } from '@holdfast/shared/policy/deletion.js';
import type { AgentOperation } from '../agents/agent-types.js';
import { findUpHost, hostProblem, requireHost } from '../inventory/host-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import type { DeleteBackups, MergeVolume } from '../persistence/agent-command.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { changesOf } from '../primary/changes-of.js';
import { recordChainChanges } from '../primary/chain-changes.js';
import { storageAccess } from '../storage/storage-view.js';
import { recordAtRest } from '../primary/at-rest.js';
import { readCleanupFacts } from '../vms/cleanup-facts.js';
import { planCleanup } from '../vms/plan-cleanup.js';
import { recordProtection } from '../vms/protection.js';
import { readDeletionFacts } from './deletion-facts.js';
import { deletionInputSchema } from './deletion-input.js';
import { DeletionListeners } from './deletion-listeners.js';
import { DeletionRecorder } from './deletion-recorder.js';
import { deletionPlanView, deletionWords, throwRefusals } from './deletion-view.js';

@Injectable()
export class DeleteBackupsHandler implements OperationHandler {
  readonly kind = 'DeleteBackups';

  constructor(
    private readonly dataSource: DataSource,
    private readonly refresher: VmRefresher,
    private readonly recorder: DeletionRecorder,
    private readonly listeners: DeletionListeners,
    private readonly clock: Clock,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const manager = this.dataSource.manager;
    const input = deletionInputSchema.parse(operation.input);
    const known = await this.refresher.seek(await manager.findOneByOrFail(VmEntity, { id: operation.vmId }));
    const plan = planDeletion(await readDeletionFacts(manager, known.id, input, operation.seq));
    throwRefusals(plan);
    if (plan.expunge.length === 0) return this.withoutHost(operation, known, plan);

    const head = plan.mergeHeadDelta ? await this.lookAtHead(manager, known) : undefined;
    if (head?.kind === 'wait') return head;
    const hostId = head?.hostId ?? (await this.anyHost(manager, known));
    if (hostId === undefined)
      return {
        kind: 'wait',
        reason: `a host of the zone to be up: the storages of the backups of "${known.name}" are reached by one`,
      };
    const storages = await manager.findBy(StorageEntity, { id: In(plan.expunge.map(({ storageId }) => storageId)) });
    const request: DeleteBackups = {
      deletions: plan.expunge.map(({ storageId, backupIds }) => {
        const storage = storages.find(({ id }) => id === storageId);
        if (storage === undefined) throw new HoldfastError('BUG', `The storage ${storageId} is not on record.`, { storageId });
        return { storage: storageAccess(storage), backupIds };
      }),
      volumes: head?.volumes ?? [],
    };
    return {
      kind: 'send',
      hostId,
      command: { kind: 'deleteBackups', request },
      record: (tx) => this.recorder.begin(tx, operation, plan),
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    const request = requestOf(operation);
    const asked = request.deletions.flatMap(({ backupIds }) => backupIds);
    const gone = new Set(outcome.result?.kind === 'deleteBackups' ? outcome.result.value.expungedBackupIds : []);
    await this.recorder.expunged(
      manager,
      asked.filter((id) => gone.has(id)),
    );
    const left = asked.filter((id) => !gone.has(id));
    const begun = new Set(outcome.steps.flatMap(({ name, subject }) => (name === 'delete' ? subject : [])));
    const spared =
      outcome.state === 'Cancelled'
        ? await this.recorder.spared(
            manager,
            operation,
            left.filter((id) => !begun.has(id)),
          )
        : new Set<string>();
    await this.recorder.failed(
      manager,
      left.filter((id) => !spared.has(id)),
      outcome.error ?? unsaid(operation),
    );
    await this.settlePrimary(manager, vm, request.volumes, outcome);
    if (outcome.state === 'Succeeded') await this.tellListeners(manager, operation);
  }

  /**
   * Before the first command was stored nothing was written. After that the wish stands, and is tried again: also when it was
   * to be planned anew and that was refused.
   */
  async applyRefusal(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    if (operation.request === null) {
      const begun = await manager.findBy(BackupEntity, { deleteOperationId: operation.id, state: 'Removed' });
      await this.recorder.failed(
        manager,
        begun.map(({ id }) => id),
        error.toData(),
      );
      return;
    }
    await this.recorder.failed(manager, idsOf(operation), error.toData());
    await recordProtection(manager, vm, 'AsBefore', error.toData(), this.clock.now());
  }

  async applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    await this.recorder.failed(manager, idsOf(operation), error.toData());
    const touched = requestOf(operation).volumes.length > 0;
    await recordProtection(manager, vm, touched ? 'Unknown' : 'AsBefore', error.toData(), this.clock.now());
  }

  private async withoutHost(operation: OperationEntity, vm: VmEntity, plan: DeletionPlan): Promise<Preparation> {
    const rows = await this.dataSource.manager.findBy(BackupEntity, { vmId: vm.id });
    return {
      kind: 'done',
      plan: deletionWords(deletionPlanView(vm, rows, plan)),
      record: async (tx) => {
        await this.recorder.begin(tx, operation, plan);
        await this.tellListeners(tx, operation);
      },
    };
  }

  /** What of the head lies on primary, from a fresh look. A VM that no host knows has nothing there. */
  private async lookAtHead(
    manager: EntityManager,
    known: VmEntity,
  ): Promise<{ kind: 'found'; hostId: string; volumes: MergeVolume[] } | Extract<Preparation, { kind: 'wait' }> | undefined> {
    if (known.powerState === 'Gone' || known.hostId === null) return undefined;
    const problem = hostProblem(await requireHost(manager, known.hostId));
    if (problem !== undefined)
      return {
        kind: 'wait',
        reason: `the newest backup of the chain has a delta on primary, which is merged first. ${problem.message}`,
      };
    const vm = await this.refresher.refresh(known);
    if (vm.powerState === 'Gone' || vm.hostId === null) return undefined;
    // A definition that drifted is its owner's to mend.
    const obstacle = vm.problems.find(({ code }) => code === 'DEFINITION_DRIFT');
    if (obstacle !== undefined) throw HoldfastError.fromData({ ...obstacle, fields: { ...obstacle.fields, vmId: vm.id } });
    const { volumes } = planCleanup({ ...(await readCleanupFacts(manager, vm, 'end-chain')), unpublished: [] });
    return { kind: 'found', hostId: vm.hostId, volumes: volumes.filter(({ deltaPaths }) => deltaPaths.length > 0) };
  }

  /** The VM's own host when it can work, else any of the zone: storages are reached by all. */
  private async anyHost(manager: EntityManager, vm: VmEntity): Promise<string | undefined> {
    const own = vm.hostId === null ? undefined : await requireHost(manager, vm.hostId);
    if (own !== undefined && hostProblem(own) === undefined) return own.id;
    return (await findUpHost(manager, vm.zoneId))?.id;
  }

  private async settlePrimary(
    manager: EntityManager,
    vm: VmEntity,
    volumes: readonly MergeVolume[],
    outcome: AgentOperation,
  ): Promise<void> {
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.outcome === 'AsAfter') await recordAtRest(manager, vm.id, volumes, []);
    // Without work on primary the agent's word says nothing of the VM.
    const seen = volumes.length > 0 ? outcome.outcome : 'AsBefore';
    await recordProtection(manager, vm, seen, outcome.error, this.clock.now());
  }

  private async tellListeners(manager: EntityManager, operation: OperationEntity): Promise<void> {
    const kept = await manager.findBy(BackupEntity, { deleteOperationId: operation.id, state: 'Removed' });
    await this.listeners.removed(
      manager,
      operation.vmId,
      kept.map(({ id }) => id),
    );
  }
}

function requestOf(operation: OperationEntity): DeleteBackups {
  const command = operation.request;
  if (command?.kind !== 'deleteBackups')
    throw new HoldfastError('BUG', `Operation ${operation.id} has no command to delete backups.`, { operationId: operation.id });
  return command.request;
}

function idsOf(operation: OperationEntity): string[] {
  return requestOf(operation).deletions.flatMap(({ backupIds }) => backupIds);
}

function unsaid(operation: OperationEntity): ErrorData {
  return new HoldfastError('BUG', 'The agent did not say why these backups are not deleted.', {
    operationId: operation.id,
  }).toData();
}
