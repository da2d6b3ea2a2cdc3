/** Plans a clean-up of a VM's disks: what to merge, what is left over. Pure. */

export interface CleanupVolume {
  readonly id: string;
  readonly target: string;
  readonly attached: boolean;
  /** False while the disk cannot be looked into: its chain is not known, so nothing of it is touched. */
  readonly readable: boolean;
  readonly layers: readonly { readonly path: string }[];
}

export interface CleanupDelta {
  readonly volumeId: string;
  readonly backupId: string;
  readonly path: string;
  readonly state: 'Intended' | 'Present' | 'Leftover';
}

export interface UnpublishedBackup {
  readonly id: string;
  readonly storageId: string;
}

export interface CleanupFacts {
  readonly purpose: 'repair' | 'end-chain';
  readonly headBackupId: string | null;
  readonly volumes: readonly CleanupVolume[];
  readonly deltas: readonly CleanupDelta[];
  readonly unpublished: readonly UnpublishedBackup[];
}

export interface CleanupPlan {
  readonly volumes: readonly { readonly target: string; readonly deltaPaths: string[] }[];
  /** Made for a backup that did not happen, and in no chain. */
  readonly unusedDeltaPaths: string[];
  /** Of one storage; those of another are left to the next clean-up. */
  readonly unpublishedBackupIds: string[];
  readonly storageId: string | undefined;
}

/** Everything of ours goes but the head's deltas of an open chain; at the end of a chain those go too. */
export function planCleanup(facts: CleanupFacts): CleanupPlan {
  const kept = (delta: CleanupDelta): boolean =>
    facts.purpose === 'repair' && delta.state === 'Present' && delta.backupId === facts.headBackupId;
  // What is not seen now is not judged: a detached disk keeps the layer that it was left with.
  const seen = facts.volumes.filter((volume) => volume.attached && volume.readable);
  const inUse = new Set(facts.volumes.flatMap((volume) => volume.layers.map((layer) => layer.path)));
  const volumes = seen
    .map((volume) => {
      const own = facts.deltas.filter((delta) => delta.volumeId === volume.id && !kept(delta));
      const deltaPaths = volume.layers.map((layer) => layer.path).filter((path) => own.some((delta) => delta.path === path));
      return { target: volume.target, deltaPaths };
    })
    .filter((volume) => volume.deltaPaths.length > 0);
  const storageId = facts.unpublished[0]?.storageId;
  return {
    volumes,
    unusedDeltaPaths: facts.deltas
      .filter(
        (delta) => delta.state !== 'Present' && !inUse.has(delta.path) && seen.some((volume) => volume.id === delta.volumeId),
      )
      .map((delta) => delta.path),
    unpublishedBackupIds: facts.unpublished.filter((backup) => backup.storageId === storageId).map((backup) => backup.id),
    storageId,
  };
}
