/** Finds VMs for callers: another account's VM answers like one that does not exist. */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { maySee, type Caller } from '../access/caller.js';
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
