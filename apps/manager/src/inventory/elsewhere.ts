/** What the start guards of other hosts are to know of a VM's volumes. Pure. */
import type { VolumeElsewhere } from '../agents/agent-types.js';
import type { DeltaState, VmPowerState } from '../persistence/entities/vm.entities.js';

export interface KnownLayers {
  readonly id: string;
  /** As last seen, the active one first. */
  readonly layers: readonly { readonly path: string }[];
}

/** A layer of ours on record. */
export interface OwnLayer {
  readonly volumeId: string;
  readonly path: string;
  readonly state: DeltaState;
  /** In no chain that the VM uses. */
  readonly branch?: boolean;
}

/**
 * A layer that an operation is about to put on counts until it is seen. What runs is right by itself. A stopped VM shows what its
 * definition names, and that is believed while no layer of ours is missing; one that nobody can ask is not believed.
 */
export function volumesElsewhere(
  powerState: VmPowerState,
  volumes: readonly KnownLayers[],
  ours: readonly OwnLayer[],
): VolumeElsewhere[] {
  return volumes.map(({ id, layers }) => {
    const seen = layers.map(({ path }) => path);
    const unseen = ours.filter(({ volumeId, path }) => volumeId === id && !seen.includes(path));
    const missing = unseen.some(({ state, branch }) => state !== 'Intended' && branch !== true);
    return {
      layers: seen,
      planned: unseen.filter(({ state }) => state === 'Intended').map(({ path }) => path),
      certain: powerState === 'Running' || powerState === 'Paused' || (powerState === 'Stopped' && !missing),
    };
  });
}
