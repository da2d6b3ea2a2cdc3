/** The writes of a deletion, in whichever transaction the caller has open. Owns the rows of backups that go. */
import { isDeepStrictEqual } from 'node:util';
import { Injectable } from '@nestjs/common';
import { In, type EntityManager } from 'typeorm';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { chainEnds, planDeletion, type DeletionPlan } from '@holdfast/shared/policy/deletion.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity, VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { cleanupBackoffMs } from '../vms/protection.js';
import { readDeletionFacts } from './deletion-facts.js';
import { deletionInputSchema } from './deletion-input.js';
import { throwRefusals } from './deletion-view.js';

@Injectable()
export class DeletionRecorder {
  constructor(private readonly clock: Clock) {}

  /**
   * From now on nothing that goes can be restored or continued, whoever dies: written before the agent is told. The plan was
   * made without the VM's lock and hosts were asked since, so what it stood on is read again: what was protected meanwhile
   * refuses, PLAN_OUTDATED when anything else makes another plan.
   */
  async begin(manager: EntityManager, operation: OperationEntity, plan: DeletionPlan): Promise<void> {
    const input = deletionInputSchema.parse(operation.input);
    const now = planDeletion(await readDeletionFacts(manager, operation.vmId, input, operation.seq));
    throwRefusals(now);
    if (!isDeepStrictEqual(now, plan))
      throw new HoldfastError('PLAN_OUTDATED', 'The backups of the VM have changed since their deletion was planned.', {
        vmId: operation.vmId,
      });
    const going = [...plan.remove, ...plan.expunge.flatMap(({ backupIds }) => backupIds)];
    await manager.update(
      BackupEntity,
      { id: In(going), state: 'BackedUp' },
      { state: 'Removed', deleteOperationId: operation.id },
    );
    // They have no files that an agent could see gone: nothing is left to do for them.
    await this.expunged(manager, plan.forget);
    await manager.update(BackupEntity, { id: In([...plan.endOfChain]) }, { endOfChain: true });
    if (plan.mergeHeadDelta) await this.endOpenChain(manager, operation.vmId);
  }

  /** Their files are gone. The rows stay for a while, so that people can see what was there and when it went. */
  async expunged(manager: EntityManager, ids: readonly string[]): Promise<void> {
    const now = this.clock.now();
    // Why an earlier try failed is of no interest any more; why a backup failed is.
    await manager.update(BackupEntity, { id: In([...ids]), state: 'DeleteFailed' }, { error: null });
    await manager.update(
      BackupEntity,
      { id: In([...ids]) },
      { state: 'Expunged', expungedAt: now, leftoversOnStorage: false, deleteNotBefore: null },
    );
  }

  /** Their files are not gone, and what is left of them is worth nothing: it is tried again. */
  async failed(manager: EntityManager, ids: readonly string[], error: ErrorData): Promise<void> {
    const rows = await manager.findBy(BackupEntity, { id: In([...ids]), state: In(['Removed', 'Failed', 'DeleteFailed']) });
    for (const row of rows) {
      const due = new Date(this.clock.now().getTime() + cleanupBackoffMs(row.deleteAttempts));
      // The reconciler that asked again has said when the next try is due.
      const next = row.state === 'DeleteFailed' && row.deleteNotBefore !== null ? row.deleteNotBefore : due;
      await manager.update(
        BackupEntity,
        { id: row.id },
        { state: 'DeleteFailed', error: error as object, deleteNotBefore: next },
      );
    }
  }

  /**
   * Cancelled before anything was done to these: what this operation deleted lives again, in chains that have ended. Returns
   * those that are as they were; what was deleted earlier still has to go.
   */
  async spared(manager: EntityManager, operation: OperationEntity, untouched: readonly string[]): Promise<ReadonlySet<string>> {
    await manager.update(
      BackupEntity,
      { id: In([...untouched]), deleteOperationId: operation.id, state: 'Removed' },
      { state: 'BackedUp', deleteOperationId: null },
    );
    const facts = await readDeletionFacts(manager, operation.vmId, { ids: [...untouched], forced: false, accountId: null });
    for (const [id, endOfChain] of chainEnds(facts)) await manager.update(BackupEntity, { id }, { endOfChain });
    const alive = await manager.findBy(BackupEntity, { id: In([...untouched]), state: In(['BackedUp', 'Failed']) });
    return new Set(alive.map(({ id }) => id));
  }

  private async endOpenChain(manager: EntityManager, vmId: string): Promise<void> {
    const vm = await manager.findOneByOrFail(VmEntity, { id: vmId });
    if (vm.headBackupId === null) return;
    const head = await manager.findOneBy(BackupEntity, { id: vm.headBackupId });
    await manager.update(
      VmEntity,
      { id: vmId },
      { headBackupId: null, chainEndedReason: `the backup "${head?.name ?? vm.headBackupId}" was deleted` },
    );
    const deltas = { vmId, backupId: vm.headBackupId };
    // Until they are seen merged they are somebody's to merge, whatever becomes of this operation.
    if (vm.powerState === 'Gone') await manager.delete(VolumeDeltaEntity, deltas);
    else await manager.update(VolumeDeltaEntity, deltas, { state: 'Leftover' });
  }
}
