/** Ends what deltas track: from then on they are layers of ours like any overlay of a snapshot. */
import { In, type EntityManager } from 'typeorm';
import { VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';

/**
 * Turns deltas into overlays. No backup is put on them any more, and they go when no snapshot needs them.
 * `branch`: a revert of ours took them out of the chain that the VM uses (see {@link VolumeOverlayEntity.branch}).
 */
export async function untrackDeltas(
  manager: EntityManager,
  deltas: readonly VolumeDeltaEntity[],
  branch: boolean,
): Promise<void> {
  if (deltas.length === 0) return;
  await manager.insert(
    VolumeOverlayEntity,
    deltas.map(({ id, vmId, volumeId, path, inode }) => ({
      id,
      vmId,
      volumeId,
      path,
      inode,
      snapshotId: null,
      operationId: null,
      state: 'Present' as const,
      branch,
    })),
  );
  await manager.delete(VolumeDeltaEntity, { id: In(deltas.map(({ id }) => id)) });
}
