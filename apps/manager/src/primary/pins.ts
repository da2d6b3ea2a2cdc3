/** The pins of a VM: which layers hold the content of Holdfast's own snapshots. Those of libvirt are the agent's to find. */
import { In, type EntityManager } from 'typeorm';
import type { PinnedLayer } from '../persistence/agent-command.js';
import { VmSnapshotEntity, VmSnapshotVolumeEntity } from '../persistence/entities/vm-snapshot.entities.js';

/** Volume id → the layers whose content, with what backs them, must stay. */
export type Pins = ReadonlyMap<string, readonly PinnedLayer[]>;

/**
 * Reads the pins of all snapshots of the VM that are Ready, but those in `except`. Every command that may merge or delete
 * layers of the VM carries them.
 */
export async function readPins(manager: EntityManager, vmId: string, except: ReadonlySet<string> = new Set()): Promise<Pins> {
  const ready = await manager.find(VmSnapshotEntity, { select: { id: true }, where: { vmId, state: 'Ready' } });
  const ids = ready.map(({ id }) => id).filter((id) => !except.has(id));
  const rows = ids.length === 0 ? [] : await manager.findBy(VmSnapshotVolumeEntity, { snapshotId: In(ids) });
  const pins = new Map<string, PinnedLayer[]>();
  for (const { snapshotId, volumeId, pinnedPath } of rows) {
    const ofVolume = pins.get(volumeId) ?? [];
    pins.set(volumeId, [...ofVolume, { snapshotId, path: pinnedPath }]);
  }
  return pins;
}

/** The pins of one volume. */
export function pinsOf(pins: Pins, volumeId: string): readonly PinnedLayer[] {
  return pins.get(volumeId) ?? [];
}
