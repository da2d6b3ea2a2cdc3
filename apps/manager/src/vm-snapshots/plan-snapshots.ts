/** Plans snapshots and reverts: rows in, what the agent is told out. Pure. */
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { revertOverlayPath, snapshotOverlayPath } from '../backups/delta-paths.js';
import type { PinnedLayer, RevertVmSnapshot, TakeVmSnapshot } from '../persistence/agent-command.js';
import { settleVolume, type SettleRows, type SettleVolume } from '../primary/plan-settle.js';
import { pinsOf, type Pins } from '../primary/pins.js';

export interface SnapshotVolume extends SettleVolume {
  readonly basePath: string;
  readonly refusal: ErrorData | null;
}

/** The volumes that are meant: those at `targets`, or all. NOT_FOUND names the targets that there are. */
export function chosenVolumes<V extends { readonly target: string }>(
  vm: { readonly id: string; readonly name: string },
  attached: readonly V[],
  targets: readonly string[] | null,
): V[] {
  const unknown = targets?.find((target) => !attached.some((volume) => volume.target === target));
  if (unknown !== undefined) {
    const there = attached.map((volume) => volume.target).join(', ');
    throw new HoldfastError('NOT_FOUND', `The VM "${vm.name}" has no volume ${unknown}; it has ${there}.`, {
      vmId: vm.id,
      target: unknown,
    });
  }
  return attached.filter((volume) => targets === null || targets.includes(volume.target));
}

/** What the agent makes for a snapshot: the active layer holds it, and the guest writes to a new overlay. */
export function planSnapshot(snapshotId: string, volumes: readonly SnapshotVolume[]): TakeVmSnapshot['volumes'] {
  const taken = new Set<string>();
  return volumes.map((volume) => {
    const activePath = volume.layers[0]?.path ?? '';
    const newOverlayPath = snapshotOverlayPath(activePath, volume.basePath, volume.target, snapshotId, taken);
    return { key: volume.id, target: volume.target, activePath, newOverlayPath };
  });
}

/** A volume's content in a snapshot. `volumeId` undefined: by target, for a snapshot that libvirt keeps record of. */
export interface HeldVolume {
  readonly volumeId: string | undefined;
  readonly target: string;
  readonly path: string;
}

export interface RevertFacts extends SettleRows {
  readonly operationId: string;
  readonly vm: { readonly id: string; readonly name: string };
  readonly snapshotName: string;
  readonly held: readonly HeldVolume[];
  /** Attached now. */
  readonly volumes: readonly SnapshotVolume[];
  /** Of all snapshots that are Ready, the one that is reverted to among them. */
  readonly pins: Pins;
}

/**
 * What the agent does for a revert. All deltas of the reverted volumes may go: what they track is not what the VM goes on
 * with. Throws WRONG_STATE when a volume of the snapshot is not attached any more, or its own refusal when it cannot be read.
 */
export function planRevert(facts: RevertFacts): RevertVmSnapshot['volumes'] {
  const taken = new Set<string>();
  return facts.held.map((held) => {
    const volume = facts.volumes.find(({ id, target }) =>
      held.volumeId === undefined ? target === held.target : id === held.volumeId,
    );
    if (volume === undefined) {
      throw new HoldfastError(
        'WRONG_STATE',
        `The volume ${held.target} of the snapshot "${facts.snapshotName}" is not attached to the VM "${facts.vm.name}" any more. Attach it again, then revert.`,
        { vmId: facts.vm.id, target: held.target },
      );
    }
    if (volume.refusal !== null) throw HoldfastError.fromData(volume.refusal);
    const pins: readonly PinnedLayer[] = pinsOf(facts.pins, volume.id);
    return {
      key: volume.id,
      target: volume.target,
      currentPath: volume.layers[0]?.path ?? '',
      pinnedPath: held.path,
      newOverlayPath: revertOverlayPath(held.path, volume.basePath, volume.target, facts.operationId, taken),
      settle: settleVolume(volume, facts, pins),
    };
  });
}
