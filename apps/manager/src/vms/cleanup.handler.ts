/** CleanupBackupError: brings the disks of a VM to rest, after a failure or at the end of a chain. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation } from '../agents/agent-types.js';
import { adoptPublished } from '../backups/adopt-published.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { changesOf } from '../primary/changes-of.js';
import { recordAtRest } from '../primary/at-rest.js';
import { recordChainChanges } from '../primary/chain-changes.js';
import { endChain } from '../primary/end-chain.js';
import { storageAccess } from '../storage/storage-view.js';
import { readCleanupFacts } from './cleanup-facts.js';
import { cleanupInputSchema, type CleanupInput } from './cleanup-input.js';
import { isEmpty, planCleanup } from './plan-cleanup.js';
import { markMergePending, markOk, recordCleanedUp, recordProtection } from './protection.js';

@Injectable()
export class CleanupHandler implements OperationHandler {
  readonly kind = 'CleanupBackupError';

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
    const input = cleanupInputSchema.parse(operation.input);
    const known = await this.refresher.seek(await manager.findOneByOrFail(VmEntity, { id: operation.vmId }));
    if (known.powerState === 'Gone' || known.hostId === null) return this.withoutVm(input, known);
    const problem = hostProblem(await requireHost(manager, known.hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };
    const vm = await this.refresher.refresh(known);
    if (vm.powerState === 'Gone' || vm.hostId === null) return this.withoutVm(input, vm);
    // A definition that drifted is its owner's to mend. libvirt out of step, or a lost QEMU, is what the agent mends first.
    const obstacle = vm.problems.find(({ code }) => code === 'DEFINITION_DRIFT');
    if (obstacle !== undefined) throw HoldfastError.fromData({ ...obstacle, fields: { ...obstacle.fields, vmId: vm.id } });

    const plan = planCleanup({
      ...(await readCleanupFacts(manager, vm, input.purpose)),
      unpublished: await manager.find(BackupEntity, {
        select: { id: true, storageId: true },
        where: { vmId: vm.id, leftoversOnStorage: true },
        order: { seq: 'ASC' },
      }),
    });
    if (isEmpty(plan) && input.purpose === 'end-chain' && vm.protectionState === 'Ok') {
      return {
        kind: 'done',
        plan: [`nothing is to be merged: no disk of "${vm.name}" has a delta of a backup`],
        record: async (tx) => {
          if (!input.dryRun) await endChain(tx, vm.id, input.reason);
        },
      };
    }
    const storage =
      plan.storageId === undefined ? undefined : await manager.findOneByOrFail(StorageEntity, { id: plan.storageId });
    return {
      kind: 'send',
      hostId: vm.hostId,
      command: {
        kind: 'cleanupBackupError',
        request: {
          volumes: plan.volumes,
          storage: storage === undefined ? null : storageAccess(storage),
          unpublishedBackupIds: plan.unpublishedBackupIds,
          unusedDeltaPaths: plan.unusedDeltaPaths,
          dryRun: input.dryRun,
          thaw: await leftFrozen(manager, vm),
        },
      },
      record: async () => {},
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    const input = cleanupInputSchema.parse(operation.input);
    if (input.dryRun) return;
    await recordChainChanges(manager, vm.id, changesOf(outcome));
    if (outcome.result?.kind === 'cleanupBackupError')
      await adoptPublished(manager, vm.id, outcome.result.value.published, this.clock.now());
    if (outcome.state !== 'Succeeded') {
      await this.recordUndone(manager, vm, input, outcome.error);
      const changed = outcome.outcome === 'AsBefore' || outcome.outcome === 'AsAfter' ? undefined : outcome.outcome;
      if (changed !== undefined)
        await recordProtection(manager, await reread(manager, vm), changed, outcome.error, this.clock.now());
      return;
    }
    const command = operation.request;
    if (command?.kind !== 'cleanupBackupError') return;
    const { volumes, unusedDeltaPaths, unpublishedBackupIds } = command.request;
    if (outcome.outcome !== 'MergePending') await recordAtRest(manager, vm.id, volumes, unusedDeltaPaths);
    if (unpublishedBackupIds.length > 0)
      await manager.update(BackupEntity, { id: In(unpublishedBackupIds) }, { leftoversOnStorage: false });
    if (input.purpose === 'end-chain') await endChain(manager, vm.id, input.reason);
    // What was asked for is done: the chain is as after it, however the agent calls a chain that needed nothing.
    const seen = outcome.outcome === 'AsBefore' ? 'AsAfter' : outcome.outcome;
    const now = this.clock.now();
    if (seen === 'AsAfter') await recordCleanedUp(manager, await reread(manager, vm), now);
    else await recordProtection(manager, await reread(manager, vm), seen, outcome.error, now);
  }

  /** Each merge is whole in itself, and is not taken back: snapshots have moved by it, files are gone. */
  async recordAttempt(manager: EntityManager, vm: VmEntity, outcome: AgentOperation): Promise<void> {
    await recordChainChanges(manager, vm.id, changesOf(outcome));
  }

  async applyRefusal(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    const input = cleanupInputSchema.parse(operation.input);
    if (!input.dryRun) await this.recordUndone(manager, vm, input, error.toData());
  }

  async applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void> {
    const input = cleanupInputSchema.parse(operation.input);
    if (input.dryRun) return;
    await this.recordUndone(manager, vm, input, error.toData());
    await recordProtection(manager, await reread(manager, vm), 'Unknown', error.toData(), this.clock.now());
  }

  /**
   * A chain that lost the delta of one of its disks is half ended: the next backup would go on with it and copy that disk in
   * full. So it is ended on record, and the reconciler merges the rest; as is that of a VM without an offering in any case.
   */
  private async recordUndone(
    manager: EntityManager,
    vm: VmEntity,
    input: CleanupInput,
    error: AgentOperation['error'],
  ): Promise<void> {
    if (input.purpose !== 'end-chain' || (vm.offeringId !== null && !(await isHalfEnded(manager, vm)))) return;
    await endChain(manager, vm.id, input.reason);
    if (await manager.existsBy(VolumeDeltaEntity, { vmId: vm.id })) await markMergePending(manager, vm, error, this.clock.now());
  }

  /** No host has the VM: there are no disks to bring to rest. */
  private withoutVm(input: CleanupInput, vm: VmEntity): Preparation {
    return {
      kind: 'done',
      plan: [`no host knows the VM "${vm.name}" any more: its chain is ended on record only`],
      record: async (manager) => {
        if (input.dryRun) return;
        await manager.delete(VolumeDeltaEntity, { vmId: vm.id });
        await endChain(manager, vm.id, input.reason === '' ? 'no host knew the VM any more' : input.reason);
        await markOk(manager, vm.id);
      },
    };
  }
}

/** The last operation that froze the guest failed on another host: nobody there can thaw it any more. */
async function leftFrozen(manager: EntityManager, vm: VmEntity): Promise<boolean> {
  const last = await manager
    .createQueryBuilder(OperationEntity, 'operation')
    .where({ vmId: vm.id })
    .andWhere('operation.steps @> :freeze', { freeze: JSON.stringify([{ name: 'freeze' }]) })
    .orderBy('operation.seq', 'DESC')
    .getOne();
  return last?.state === 'Failed' && last.hostId !== vm.hostId;
}

async function reread(manager: EntityManager, vm: VmEntity): Promise<VmEntity> {
  return manager.findOneByOrFail(VmEntity, { id: vm.id });
}

/** A disk that the head of the chain holds, and that is there, has the head's delta no more. */
async function isHalfEnded(manager: EntityManager, { id: vmId, headBackupId }: VmEntity): Promise<boolean> {
  if (headBackupId === null) return false;
  const deltas = await manager.findBy(VolumeDeltaEntity, { vmId, backupId: headBackupId, state: 'Present' });
  const held = await manager.findBy(BackupVolumeEntity, { backupId: headBackupId });
  const volumes = await manager.findBy(VolumeEntity, { vmId, attached: true, id: In(held.map(({ key }) => key)) });
  return volumes.some(({ id }) => !deltas.some(({ volumeId }) => volumeId === id));
}
