/** Finds VMs for callers: another account's VM answers like one that does not exist. And whose a VM still is when work on it begins. */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { maySee, type Caller } from '../access/caller.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';

export async function requireVm(manager: EntityManager, caller: Caller, vmId: string): Promise<VmEntity> {
  const row = await manager.findOneBy(VmEntity, { id: vmId });
  if (row === null || !maySee(caller, row.accountId)) {
    throw new HoldfastError(
      'NOT_FOUND',
      `There is no VM ${vmId}. List the VMs to see their ids; a new VM appears when its host has been looked at.`,
      { vmId },
    );
  }
  return row;
}

/** The VM's row, locked until the transaction ends: every change of what is known about a VM goes through it. */
export async function lockVm(manager: EntityManager, vmId: string): Promise<VmEntity> {
  const row = await manager.findOne(VmEntity, { where: { id: vmId }, lock: { mode: 'pessimistic_write' } });
  if (row === null) throw new HoldfastError('NOT_FOUND', `There is no VM ${vmId}.`, { vmId });
  return row;
}

/**
 * For operations that put another content into the VM's disks: they are for the owner that the VM had when they were asked
 * for. WRONG_STATE when it was given to another account since: that one's data would be overwritten.
 */
export function demandSameOwner(vm: VmEntity, operation: Pick<OperationEntity, 'id' | 'accountId'>): void {
  if (vm.accountId === operation.accountId) return;
  throw new HoldfastError(
    'WRONG_STATE',
    `The VM "${vm.name}" was given to another account after this was asked for. Whoever has it now can ask again.`,
    { vmId: vm.id, operationId: operation.id },
  );
}
