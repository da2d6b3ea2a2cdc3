/** What keeps a snapshot from being reverted to or deleted, with the name and the way out. Pure. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { VmSnapshotEntity } from '../persistence/entities/vm-snapshot.entities.js';
import type { StoredLibvirtSnapshot, VmEntity } from '../persistence/entities/vm.entities.js';

type NamedVm = Pick<VmEntity, 'id' | 'name' | 'powerState'>;

/** VM_RUNNING, or WRONG_STATE while it is on its way from one state to another. */
export function demandStopped(vm: NamedVm): void {
  if (vm.powerState === 'Running' || vm.powerState === 'Paused') {
    throw new HoldfastError('VM_RUNNING', `The VM "${vm.name}" is running. Shut it down, then revert it.`, { vmId: vm.id });
  }
  if (vm.powerState === 'Other') {
    throw new HoldfastError(
      'WRONG_STATE',
      `The VM "${vm.name}" is neither running nor shut off just now. Wait until it is shut off, then try again.`,
      { vmId: vm.id },
    );
  }
}

/** The snapshot of ours, when it is one that can be reverted to. */
export function demandReady(row: VmSnapshotEntity | null, id: string): VmSnapshotEntity {
  if (row === null) {
    throw new HoldfastError('NOT_FOUND', `The snapshot ${id} is not there any more. List the snapshots of the VM.`, {
      vmSnapshotId: id,
    });
  }
  if (row.state !== 'Ready') {
    throw new HoldfastError(
      'WRONG_STATE',
      `The snapshot "${row.name}" is ${row.state}; only one that is Ready can be reverted to.`,
      { vmSnapshotId: row.id, state: row.state },
    );
  }
  return row;
}

/** The snapshot that libvirt keeps record of, when it is one that is kept in overlays alone. */
export function demandOfLibvirt(vm: Pick<VmEntity, 'id' | 'name' | 'libvirtSnapshots'>, name: string): StoredLibvirtSnapshot {
  const row = vm.libvirtSnapshots.find((snapshot) => snapshot.name === name);
  if (row === undefined) {
    throw new HoldfastError('NOT_FOUND', `libvirt has no snapshot "${name}" of the VM "${vm.name}" any more.`, { vmId: vm.id });
  }
  demandOverlays(row);
  return row;
}

/** WRONG_STATE for a snapshot with memory, or one inside an image. */
export function demandOverlays(row: StoredLibvirtSnapshot): void {
  if (!row.foreignKind) return;
  throw new HoldfastError(
    'WRONG_STATE',
    `The snapshot "${row.name}" holds memory or is kept inside an image: it is left to virsh (virsh snapshot-revert, virsh snapshot-delete).`,
    { vmSnapshotId: row.id },
  );
}
