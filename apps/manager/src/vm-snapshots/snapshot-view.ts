/** Snapshots of a VM as the public API shows them: one tree of ours and those of libvirt. Pure. */
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import type { OperationId, VmId, VmSnapshotId, VolumeId } from '@holdfast/shared/ids/ids.js';
import { errorView } from '../inventory/vm-view.js';
import type { VmSnapshotEntity, VmSnapshotVolumeEntity } from '../persistence/entities/vm-snapshot.entities.js';
import type { VmEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';

export interface SnapshotRows {
  readonly vm: Pick<VmEntity, 'id' | 'currentSnapshotId' | 'libvirtSnapshots'>;
  /** Of ours, in the order of asking. */
  readonly snapshots: readonly VmSnapshotEntity[];
  readonly held: readonly VmSnapshotVolumeEntity[];
  readonly volumes: readonly Pick<VolumeEntity, 'id' | 'target' | 'attached'>[];
}

/** Whether a snapshot is among those that are wanted. */
export type Shows = (snapshot: Pick<VmSnapshot, 'state'> & { readonly id: string }) => boolean;

/**
 * Those that `shows`, oldest first. What stands on a snapshot that is not shown stands on the nearest one that is.
 */
export function snapshotViews(rows: SnapshotRows, shows: Shows): VmSnapshot[] {
  const byId = new Map(rows.snapshots.map((row) => [row.id, row]));
  const shown = (id: string | null): string | undefined => {
    for (let next = id; next !== null; next = byId.get(next)?.parentId ?? null) {
      const row = byId.get(next);
      if (row !== undefined && shows(row)) return next;
    }
    return undefined;
  };
  const current = shown(rows.vm.currentSnapshotId);
  const own = rows.snapshots.filter(shows).map((row) => ownView(row, rows.held, shown(row.parentId), row.id === current));
  return [...own, ...libvirtViews(rows).filter(shows)].sort((a, b) => a.createdAt.localeCompare(b.createdAt));
}

function ownView(
  row: VmSnapshotEntity,
  held: readonly VmSnapshotVolumeEntity[],
  parentId: string | undefined,
  current: boolean,
): VmSnapshot {
  return {
    id: row.id as VmSnapshotId,
    vmId: row.vmId as VmId,
    name: row.name,
    description: row.description,
    origin: 'holdfast',
    state: row.state,
    ...(parentId === undefined ? {} : { parentId: parentId as VmSnapshotId }),
    current,
    leftToVirsh: false,
    quiesce: row.quiesce,
    ...(row.quiesced === null ? {} : { quiesced: row.quiesced }),
    ...(row.frozenMs === null ? {} : { frozenMs: row.frozenMs }),
    ...(row.frozenAt === null ? {} : { frozenAt: row.frozenAt.toISOString() }),
    volumes: held
      .filter((volume) => volume.snapshotId === row.id)
      .map(({ volumeId, target, pinnedPath }) => ({ volumeId: volumeId as VolumeId, target, path: pinnedPath }))
      .sort((a, b) => a.target.localeCompare(b.target)),
    operationId: row.operationId as OperationId,
    ...(row.error === null ? {} : { error: errorView(row.error) }),
    createdAt: row.createdAt.toISOString(),
  };
}

function libvirtViews({ vm, volumes }: SnapshotRows): VmSnapshot[] {
  return vm.libvirtSnapshots.map((row) => {
    const parent = vm.libvirtSnapshots.find((other) => row.parentName !== '' && other.name === row.parentName);
    return {
      id: row.id as VmSnapshotId,
      vmId: vm.id as VmId,
      name: row.name,
      description: '',
      origin: 'libvirt',
      state: 'Ready',
      ...(parent === undefined ? {} : { parentId: parent.id as VmSnapshotId }),
      current: row.current,
      leftToVirsh: row.foreignKind,
      volumes: row.disks.map(({ target, pinnedPath }) => {
        const volume = volumes.find((candidate) => candidate.attached && candidate.target === target);
        return { ...(volume === undefined ? {} : { volumeId: volume.id as VolumeId }), target, path: pinnedPath };
      }),
      createdAt: row.createdAt,
    };
  });
}
