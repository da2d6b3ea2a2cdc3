/**
 * Writes down what an operation changed on primary: layers that are gone, snapshots whose content lies in another file now,
 * and removed snapshots whose layer nobody needs any more. Owns these rows' end; must not decide what may go.
 */
import { In, type EntityManager } from 'typeorm';
import type { ChainChanges } from '../agents/agent-types.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { VmSnapshotEntity, VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';

/**
 * Records the changes in the transaction of the outcome, under the VM's lock: rows of removed paths go, moved pins are
 * followed. A layer that was asked to go and is not listed is still there, and so is its row; one that was merged and could not
 * be deleted is left over, for the next clean-up.
 */
export async function recordChainChanges(manager: EntityManager, vmId: string, changes: ChainChanges | undefined): Promise<void> {
  const removed = [...(changes?.removedPaths ?? [])];
  if (removed.length > 0) {
    await manager.delete(VolumeDeltaEntity, { vmId, path: In(removed) });
    await manager.delete(VolumeOverlayEntity, { vmId, path: In(removed) });
  }
  const left = [...(changes?.leftPaths ?? [])];
  if (left.length > 0) {
    await manager.update(VolumeDeltaEntity, { vmId, path: In(left) }, { state: 'Leftover' });
    await manager.update(VolumeOverlayEntity, { vmId, path: In(left) }, { state: 'Leftover' });
  }
  for (const pin of changes?.movedPins ?? []) {
    // The disk may have been detached since it was merged, and another one may be at its target: the snapshot's own is meant.
    const volumes = await manager.find(VolumeEntity, { where: { vmId, target: pin.target }, order: { attached: 'DESC' } });
    for (const { id: volumeId } of volumes) {
      const where = { snapshotId: pin.snapshotId, volumeId };
      const { affected } = await manager.update(VmSnapshotVolumeEntity, where, { pinnedPath: pin.path });
      if (affected !== 0) break;
    }
  }
  await forgetFreedSnapshots(manager, vmId);
}

/** Removed snapshots on whose layer no overlay lies any more vanish; what stood on one stands on its parent. */
async function forgetFreedSnapshots(manager: EntityManager, vmId: string): Promise<void> {
  const removed = await manager.find(VmSnapshotEntity, { where: { vmId, state: 'Removed' }, order: { seq: 'ASC' } });
  for (const { id } of removed) {
    if (await isNeeded(manager, vmId, id)) continue;
    await forgetSnapshot(manager, vmId, id);
  }
}

/** True while an overlay lies on the snapshot's layer, in the chain of its VM or in a branch. */
async function isNeeded(manager: EntityManager, vmId: string, snapshotId: string): Promise<boolean> {
  const overlays = await manager.findBy(VolumeOverlayEntity, { vmId, snapshotId });
  if (overlays.length === 0) return false;
  const volumes = await manager.findBy(VolumeEntity, { vmId });
  const inUse = new Set(volumes.flatMap((volume) => volume.layers.map((layer) => layer.path)));
  return overlays.some((overlay) => overlay.branch || inUse.has(overlay.path));
}

/** Takes a snapshot off the record. Its children, and the VM if it stood on it, stand on its parent then. */
export async function forgetSnapshot(manager: EntityManager, vmId: string, snapshotId: string): Promise<void> {
  const row = await manager.findOneBy(VmSnapshotEntity, { id: snapshotId, vmId });
  if (row === null) return;
  const { parentId } = row;
  await manager.update(VmSnapshotEntity, { vmId, parentId: snapshotId }, { parentId });
  await manager.update(VmEntity, { id: vmId, currentSnapshotId: snapshotId }, { currentSnapshotId: parentId });
  await manager.update(VolumeOverlayEntity, { vmId, snapshotId }, { snapshotId: null });
  await manager.delete(VmSnapshotVolumeEntity, { snapshotId });
  await manager.delete(VmSnapshotEntity, { id: snapshotId });
}
