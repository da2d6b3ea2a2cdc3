/** The layers that a restored volume leaves behind beside the chain that it used: branches of snapshots. */
import type { EntityManager } from 'typeorm';
import type { RestoredVolume } from '../agents/agent-types.js';
import { VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';

/** Takes the volume's old layers off the record. Returns those that are not among `oldPaths`: they are superseded too. */
export async function forgetOldTree(manager: EntityManager, restored: RestoredVolume): Promise<string[]> {
  const volumeId = restored.key;
  const deltas = await manager.findBy(VolumeDeltaEntity, { volumeId });
  const overlays = await manager.findBy(VolumeOverlayEntity, { volumeId });
  const held = await manager.findBy(VmSnapshotVolumeEntity, { volumeId });
  await manager.delete(VolumeDeltaEntity, { volumeId });
  await manager.delete(VolumeOverlayEntity, { volumeId });
  const all = [...[...overlays, ...deltas].map((layer) => layer.path), ...held.map((layer) => layer.pinnedPath)];
  return [...new Set(all)].filter((path) => !restored.oldPaths.includes(path));
}
