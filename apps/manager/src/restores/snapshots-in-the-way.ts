/** What keeps a VM with snapshots from being restored, unless its owner lets them go. */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { VmEntity } from '../persistence/entities/vm.entities.js';
import { VmSnapshotEntity } from '../persistence/entities/vm-snapshot.entities.js';

/** VM_HAS_SNAPSHOTS with the names of all, ours and those of libvirt; undefined when there are none. */
export async function snapshotsInTheWay(
  manager: EntityManager,
  vm: Pick<VmEntity, 'id' | 'name' | 'libvirtSnapshots'>,
): Promise<HoldfastError | undefined> {
  const own = await manager.find(VmSnapshotEntity, { where: { vmId: vm.id, state: 'Ready' }, order: { seq: 'ASC' } });
  const names = [...own, ...vm.libvirtSnapshots].map((snapshot) => snapshot.name);
  if (names.length === 0) return undefined;
  const list = names.map((name) => `"${name}"`).join(', ');
  return new HoldfastError(
    'VM_HAS_SNAPSHOTS',
    `The VM "${vm.name}" has snapshots, which a restore ends: ${list}. Delete them, or restore with dropSnapshots (--drop-snapshots): their files are kept with the former files of the VM.`,
    { vmId: vm.id, snapshots: names.join(',') },
  );
}
