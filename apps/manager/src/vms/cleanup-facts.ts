/** Reads what the plan of a clean-up is made of, but for what failed backups left on storage. Owns the reads; decides nothing. */
import type { EntityManager } from 'typeorm';
import { VolumeDeltaEntity, VolumeEntity, type VmEntity } from '../persistence/entities/vm.entities.js';
import { layersOfOthers } from '../primary/layers-of-others.js';
import { judgedOverlays } from '../primary/libvirt-overlays.js';
import { readPins } from '../primary/pins.js';
import type { CleanupFacts } from './plan-cleanup.js';

/** `vm`: as it was just looked at. */
export async function readCleanupFacts(
  manager: EntityManager,
  vm: VmEntity,
  purpose: CleanupFacts['purpose'],
): Promise<Omit<CleanupFacts, 'unpublished'>> {
  const rows = await manager.findBy(VolumeEntity, { vmId: vm.id });
  return {
    purpose,
    headBackupId: vm.headBackupId,
    volumes: rows.map((volume) => ({ ...volume, readable: volume.refusal === null })),
    deltas: await manager.findBy(VolumeDeltaEntity, { vmId: vm.id }),
    overlays: await judgedOverlays(manager, vm),
    ofOthers: await layersOfOthers(manager, vm.id, rows),
    pins: await readPins(manager, vm.id),
  };
}
