/** Finds VM snapshots, ours and those of libvirt, for callers: one of another account's VM answers like one that does not exist. */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { maySee, type Caller } from '../access/caller.js';
import { VmSnapshotEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, type StoredLibvirtSnapshot } from '../persistence/entities/vm.entities.js';

export type FoundSnapshot =
  | { readonly origin: 'holdfast'; readonly vm: VmEntity; readonly row: VmSnapshotEntity }
  | { readonly origin: 'libvirt'; readonly vm: VmEntity; readonly row: StoredLibvirtSnapshot };

/** NOT_FOUND when there is none that the caller may see. */
export async function requireSnapshot(manager: EntityManager, caller: Caller, id: string): Promise<FoundSnapshot> {
  const found = await findSnapshot(manager, id);
  if (found === undefined || !maySee(caller, found.vm.accountId)) {
    throw new HoldfastError('NOT_FOUND', `There is no VM snapshot ${id}. List the snapshots of the VM to see their ids.`, {
      vmSnapshotId: id,
    });
  }
  return found;
}

async function findSnapshot(manager: EntityManager, id: string): Promise<FoundSnapshot | undefined> {
  const own = await manager.findOneBy(VmSnapshotEntity, { id });
  if (own !== null) return { origin: 'holdfast', row: own, vm: await manager.findOneByOrFail(VmEntity, { id: own.vmId }) };
  const vm = await manager
    .createQueryBuilder(VmEntity, 'v')
    .where('v.libvirt_snapshots @> :wanted::jsonb', { wanted: JSON.stringify([{ id }]) })
    .getOne();
  const row = vm?.libvirtSnapshots.find((snapshot) => snapshot.id === id);
  return vm === null || row === undefined ? undefined : { origin: 'libvirt', vm, row };
}
