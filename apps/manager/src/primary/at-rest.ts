/** Writes down that the chains of a VM are at rest: of the layers of ours there are only those that are needed. */
import { In, type EntityManager } from 'typeorm';
import type { MergeVolume } from '../persistence/agent-command.js';
import { VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';

/**
 * Of the layers of ours there are now those that snapshots or branches need, and those of disks that are detached: these
 * are merged when the disk is back. None of them is left over. `unused`: layers and files of restores that are gone now.
 */
export async function recordAtRest(
  manager: EntityManager,
  vmId: string,
  settled: readonly MergeVolume[],
  unused: readonly string[],
): Promise<void> {
  const detached = await manager.find(VolumeEntity, { select: { id: true }, where: { vmId, attached: false } });
  const volumeId = In(detached.map(({ id }) => id));
  const named = settled.flatMap((volume) => volume.deltaPaths);
  for (const entity of [VolumeDeltaEntity, VolumeOverlayEntity]) {
    if (unused.length > 0) await manager.delete(entity, { vmId, path: In([...unused]) });
    if (named.length > 0) await manager.update(entity, { vmId, path: In(named) }, { state: 'Present' });
    await manager.update(entity, { vmId, volumeId, state: 'Leftover' }, { state: 'Present' });
  }
  if (unused.length > 0) await manager.update(VolumeEntity, { vmId, intendedPath: In([...unused]) }, { intendedPath: null });
}
