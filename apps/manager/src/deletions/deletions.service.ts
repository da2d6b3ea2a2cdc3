/** Deletions as callers ask for them. What happens is decided again when the operation's turn comes. */
import { Injectable } from '@nestjs/common';
import { DataSource, Not, type EntityManager } from 'typeorm';
import type { DeleteBackup, DeleteBackups, Deletion, DeletionPlan as DeletionPlanView } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { planDeletion } from '@holdfast/shared/policy/deletion.js';
import type { Caller } from '../access/caller.js';
import { requireBackup } from '../backups/backup-lookup.js';
import { AuditLog } from '../events/audit-log.js';
import { requireVm } from '../inventory/vm-lookup.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { operationView } from '../operations/operation-view.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { readDeletionFacts } from './deletion-facts.js';
import type { DeletionInput } from './deletion-input.js';
import { deletionPlanView, throwRefusals } from './deletion-view.js';

@Injectable()
export class DeletionsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly audit: AuditLog,
  ) {}

  /** One backup. With `forced` what depends on it goes too; with `dryRun` nothing happens. */
  async deleteOne(caller: Caller, backupId: string, input: DeleteBackup): Promise<Deletion> {
    const { vmId } = await requireBackup(this.dataSource.manager, caller, backupId);
    return this.delete(caller, new Map([[vmId, [backupId]]]), input);
  }

  /** Many: one plan and one operation for each VM. When one of them is refused, nothing is done. */
  async deleteMany(caller: Caller, input: DeleteBackups): Promise<Deletion> {
    const manager = this.dataSource.manager;
    const byVm = new Map<string, string[]>();
    for (const id of new Set(input.ids ?? [])) {
      const { vmId } = await requireBackup(manager, caller, id);
      byVm.set(vmId, [...(byVm.get(vmId) ?? []), id]);
    }
    if (input.vmId !== undefined) {
      const vm = await requireVm(manager, caller, input.vmId);
      const all = await manager.find(BackupEntity, {
        select: { id: true },
        where: { vmId: vm.id, state: Not('Expunged'), ...(caller.role === 'admin' ? {} : { accountId: caller.accountId }) },
        order: { seq: 'ASC' },
      });
      byVm.set(
        vm.id,
        all.map(({ id }) => id),
      );
    }
    return this.delete(caller, byVm, input);
  }

  /**
   * For Holdfast itself (retention): asks for the deletion of backups of one VM, in the caller's transaction. Protected ones
   * must not be named: they would refuse the whole.
   */
  async deleteAsSystem(manager: EntityManager, vmId: string, ids: readonly string[], why: string): Promise<Operation> {
    const vm = await requireVmRow(manager, vmId);
    const operation = await this.add(manager, vm, { ids: [...ids], forced: false, accountId: null });
    this.audit.changed(undefined, 'backup.delete', { vmId, backupIds: ids.join(','), operationId: operation.id, why });
    return operation;
  }

  private async delete(
    caller: Caller,
    byVm: ReadonlyMap<string, readonly string[]>,
    wish: { readonly forced: boolean; readonly dryRun: boolean },
  ): Promise<Deletion> {
    const accountId = caller.role === 'admin' ? null : caller.accountId;
    return this.dataSource.transaction(async (manager) => {
      const plans: DeletionPlanView[] = [];
      const operations: Operation[] = [];
      // Their rows are locked one after another: in the order that everybody keeps, or two would wait for each other.
      for (const [vmId, ids] of [...byVm].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const vm = await requireVmRow(manager, vmId);
        const input: DeletionInput = { ids: [...ids], forced: wish.forced, accountId };
        const plan = planDeletion(await readDeletionFacts(manager, vmId, input));
        plans.push(deletionPlanView(vm, await manager.findBy(BackupEntity, { vmId }), plan));
        if (wish.dryRun) continue;
        throwRefusals(plan);
        const operation = await this.add(manager, vm, input);
        operations.push(operation);
        const fields = { vmId, backupIds: ids.join(','), operationId: operation.id, forced: String(wish.forced) };
        this.audit.changed(caller, 'backup.delete', fields);
      }
      return { plans, operations };
    });
  }

  private async add(manager: EntityManager, vm: VmEntity, input: DeletionInput): Promise<Operation> {
    const [first, ...others] = input.ids;
    const row = await this.queue.add(manager, {
      kind: 'DeleteBackups',
      vmId: vm.id,
      hostId: vm.hostId,
      backupId: others.length === 0 ? (first ?? null) : null,
      accountId: input.accountId ?? vm.accountId,
      input,
    });
    return operationView(row);
  }
}

async function requireVmRow(manager: EntityManager, vmId: string): Promise<VmEntity> {
  const vm = await manager.findOneBy(VmEntity, { id: vmId });
  if (vm === null) throw new HoldfastError('NOT_FOUND', `The VM ${vmId} of these backups is not known any more.`, { vmId });
  return vm;
}
