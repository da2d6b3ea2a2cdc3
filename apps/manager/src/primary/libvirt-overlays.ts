/**
 * The overlays that snapshots of virsh made. They are another tool's while libvirt keeps record of them; when a revert of ours
 * leaves one in a branch, or its snapshot is deleted through us, it is ours to merge or to remove once no record names it.
 */
import type { EntityManager } from 'typeorm';
import type { VmEntity } from '../persistence/entities/vm.entities.js';
import { VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';

type Recorded = Pick<VmEntity, 'id' | 'libvirtSnapshots'>;

/** An overlay that is ours from now on. */
export interface AdoptedOverlay {
  readonly volumeId: string;
  readonly path: string;
}

interface AttachedVolume {
  readonly id: string;
  readonly target: string;
  readonly layers: readonly { readonly path: string }[];
}

/** The overlays on record that may be judged: not those that libvirt's records name, but for the snapshots `without`. */
export async function judgedOverlays(
  manager: EntityManager,
  vm: Recorded,
  without: readonly string[] = [],
): Promise<VolumeOverlayEntity[]> {
  const named = new Set(
    vm.libvirtSnapshots
      .filter(({ name }) => !without.includes(name))
      .flatMap(({ disks }) => disks.map((disk) => disk.overlayPath)),
  );
  return (await manager.findBy(VolumeOverlayEntity, { vmId: vm.id })).filter(({ path }) => !named.has(path));
}

/** The overlays in the chains of these volumes that snapshots of virsh made, all or those `of` these names. Pure. */
export function libvirtOverlays(vm: Recorded, volumes: readonly AttachedVolume[], of?: readonly string[]): AdoptedOverlay[] {
  const disks = vm.libvirtSnapshots
    .filter((row) => !row.foreignKind && (of === undefined || of.includes(row.name)))
    .flatMap((row) => row.disks);
  return volumes.flatMap((volume) =>
    disks
      .filter(({ target, overlayPath }) => target === volume.target && volume.layers.some((layer) => layer.path === overlayPath))
      .map(({ overlayPath }) => ({ volumeId: volume.id, path: overlayPath })),
  );
}

/** Writes them down; those that are on record stay as they are. `operationId`: the operation that takes them over. */
export async function adoptOverlays(
  manager: EntityManager,
  vmId: string,
  operationId: string,
  adopted: readonly AdoptedOverlay[],
  newId: () => string,
): Promise<void> {
  for (const { volumeId, path } of adopted) {
    if (await manager.existsBy(VolumeOverlayEntity, { vmId, path })) continue;
    const row = { id: newId(), vmId, volumeId, snapshotId: null, path, inode: null, state: 'Present' as const };
    await manager.insert(VolumeOverlayEntity, { ...row, branch: false, operationId });
  }
}
