/** Plans a clean-up of a VM's disks: what to merge, what is left over. Pure. */
import { hasDeltaName, hasLayerName } from '@holdfast/shared/chain/layer-names.js';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { MergeVolume } from '../persistence/agent-command.js';
import { pinsOf, type Pins } from '../primary/pins.js';
import { settleVolume, type SettleDelta, type SettleOverlay, type SettleVolume } from '../primary/plan-settle.js';

export interface CleanupVolume extends SettleVolume {
  readonly attached: boolean;
  /** False while the disk cannot be looked into: its chain is not known, so nothing of it is touched. */
  readonly readable: boolean;
  readonly basePath: string;
  /** The new file of a restore that has not succeeded. */
  readonly intendedPath: string | null;
}

export interface UnpublishedBackup {
  readonly id: string;
  readonly storageId: string;
}

export interface CleanupFacts {
  readonly purpose: 'repair' | 'end-chain';
  readonly headBackupId: string | null;
  readonly volumes: readonly CleanupVolume[];
  readonly deltas: readonly SettleDelta[];
  readonly overlays: readonly SettleOverlay[];
  /** Layers that another VM has, or had. */
  readonly ofOthers: ReadonlySet<string>;
  readonly pins: Pins;
  readonly unpublished: readonly UnpublishedBackup[];
}

export interface CleanupPlan {
  /** With every pin, also of a volume of which nothing is to be merged: what snapshots hold is not left over. */
  readonly volumes: readonly MergeVolume[];
  /** Made for a backup, a snapshot, a revert or a restore that did not happen, and in no chain. */
  readonly unusedDeltaPaths: string[];
  /** Of one storage; those of another are left to the next clean-up. */
  readonly unpublishedBackupIds: string[];
  readonly storageId: string | undefined;
}

/**
 * Everything of ours goes that no snapshot needs, but the head's deltas of an open chain; at the end of a chain those go too, and
 * deltas in it that no record names (of a database that was set back).
 */
export function planCleanup(facts: CleanupFacts): CleanupPlan {
  const head = new Set(
    facts.deltas
      .filter((delta) => facts.purpose === 'repair' && delta.state === 'Present' && delta.backupId === facts.headBackupId)
      .map((delta) => delta.path),
  );
  // What is not seen now is not judged: a detached disk keeps the layer that it was left with.
  const seen = facts.volumes.filter((volume) => volume.attached && volume.readable);
  const volumes = seen
    .map((volume) => {
      const wish = settleVolume(volume, facts, pinsOf(facts.pins, volume.id), (delta) => head.has(delta.path));
      const untracked = facts.purpose === 'end-chain' ? untrackedDeltas(facts, volume) : [];
      return { ...wish, deltaPaths: [...wish.deltaPaths, ...untracked] };
    })
    .filter((volume) => volume.deltaPaths.length > 0 || volume.pins.length > 0);
  const storageId = facts.unpublished[0]?.storageId;
  return {
    volumes,
    unusedDeltaPaths: unusedPaths(facts, new Set(seen.map((volume) => volume.id))),
    unpublishedBackupIds: facts.unpublished.filter((backup) => backup.storageId === storageId).map((backup) => backup.id),
    storageId,
  };
}

/** True when the agent has nothing to do. */
export function isEmpty(plan: CleanupPlan): boolean {
  return (
    plan.volumes.every((volume) => volume.deltaPaths.length === 0) &&
    plan.unusedDeltaPaths.length === 0 &&
    plan.unpublishedBackupIds.length === 0
  );
}

/**
 * Deltas of backups, by their names, that are in the chain and in no record (decision 0056). One below an overlay of ours without
 * a record may hold a VM snapshot that is lost with it; what else lies on it the agent sees.
 */
function untrackedDeltas(facts: CleanupFacts, volume: CleanupVolume): string[] {
  const recorded = new Set([...[...facts.deltas, ...facts.overlays].map((layer) => layer.path), ...facts.ofOthers]);
  const chain = volume.layers.map((layer) => layer.path);
  return chain.filter((path, index) => {
    const above = chain[index - 1];
    const held = above !== undefined && hasLayerName(above) && !hasDeltaName(above) && !recorded.has(above);
    return hasDeltaName(path) && !recorded.has(path) && !held;
  });
}

/** A layer that was put into a branch, or that a snapshot holds, is in use although the VM's own chain does not show it. */
function unusedPaths(facts: CleanupFacts, seen: ReadonlySet<string>): string[] {
  const inUse = new Set([
    ...facts.volumes.flatMap((volume) => volume.layers.map((layer) => layer.path)),
    ...[...facts.pins.values()].flatMap((pins) => pins.map((pin) => pin.path)),
    ...facts.overlays.filter((overlay) => overlay.branch).map((overlay) => overlay.path),
    ...facts.volumes.map((volume) => volume.basePath),
  ]);
  const layers = [...facts.deltas, ...facts.overlays]
    .filter((layer) => layer.state !== 'Present' && !inUse.has(layer.path) && seen.has(layer.volumeId))
    .map((layer) => layer.path);
  // A clean-up has the VM to itself, so no restore is going on. Also for a volume that would have been attached again.
  const restored = facts.volumes
    .filter((volume) => seen.has(volume.id) || !volume.attached)
    .flatMap(({ intendedPath }) => (intendedPath === null || inUse.has(intendedPath) ? [] : [intendedPath]));
  return [...layers, ...restored.flatMap((path) => [path, path + PARTIAL_SUFFIX])];
}
