/**
 * What the commands are asked and what they answer, in our own types. Owns no behaviour; the wire's mapping is in server/,
 * the journal's form in shared/bigint-json.ts.
 */
import type { PlannedChange } from '@holdfast/shared/chain/planned-change.js';
import type { CommandHeader } from '../operations/command.js';
import type { StorageSpec } from '../secondary/storage-spec.js';

export type QuiesceWish = 'no' | 'try' | 'require';

export interface TakeBackupVolume {
  /** File name on secondary without `.qcow2`. */
  readonly key: string;
  readonly target: string;
  readonly activePath: string;
  readonly newDeltaPath: string;
  /** With both: copied incrementally; without: in full. */
  readonly parentDeltaPath?: string | undefined;
  readonly parentDeltaInode?: bigint | undefined;
  /** Deltas of ours that go down once the manifest is published; may include newDeltaPath. */
  readonly mergeDeltaPaths: readonly string[];
  /** Layers at and below this path are a template. */
  readonly templatePath?: string | undefined;
  readonly pins: readonly PinnedLayer[];
}

/** The content of this layer, with what backs it, is the content of a VM snapshot and must stay. */
export interface PinnedLayer {
  readonly snapshotId: string;
  readonly path: string;
}

/** What an operation changed on primary, for whoever keeps record of layers and snapshots. */
export interface ChainChanges {
  /** Layers of ours that are in no chain any more and whose files are gone. */
  readonly removedPaths: readonly string[];
  /** Layers of ours that were merged, so that they are in no chain any more, and whose files could not be deleted yet. */
  readonly leftPaths: readonly string[];
  /** Snapshots whose content lies in another file now, because the layer that held it was merged down. */
  readonly movedPins: readonly { readonly snapshotId: string; readonly target: string; readonly path: string }[];
}

export interface TakeBackupRequest {
  readonly header: CommandHeader;
  readonly storage: StorageSpec;
  readonly backupId: string;
  readonly backupName: string;
  readonly type: 'FULL' | 'INCREMENTAL';
  readonly parentBackupId?: string | undefined;
  readonly isolated: boolean;
  readonly endOfChain: boolean;
  readonly quiesce: QuiesceWish;
  readonly freezeBudgetMs: number;
  readonly volumes: readonly TakeBackupVolume[];
  readonly coroutines: number;
  readonly notes: Readonly<Record<string, string>>;
  readonly vmSettings: Readonly<Record<string, string>>;
}

export interface TakeBackupVolumeResult {
  readonly key: string;
  readonly target: string;
  readonly sizeBytes: bigint;
  readonly virtualSizeBytes: bigint;
  readonly digest: string;
  /** Undefined when this backup's delta was merged at once. */
  readonly deltaPath: string | undefined;
  readonly deltaInode: bigint | undefined;
  readonly activePath: string;
  readonly copiedInFull: boolean;
}

export interface TakeBackupResult {
  readonly volumes: readonly TakeBackupVolumeResult[];
  readonly quiesced: boolean;
  readonly frozenMs: number;
  readonly frozenAtUnixMs: number;
  readonly sizeBytes: bigint;
  readonly changes: ChainChanges;
}

export interface RestoreBackupVolume {
  readonly key: string;
  readonly target: string;
  /** Undefined: detached now, a disk is added. */
  readonly currentPath?: string | undefined;
  readonly newPath: string;
  readonly templatePath?: string | undefined;
}

export interface MergeVolume {
  readonly target: string;
  /**
   * Layers of ours that may go: each is merged into what is under it, or deleted when nothing lies on it and nothing needs
   * it. One that a snapshot or a second child still needs stays.
   */
  readonly deltaPaths: readonly string[];
  /** VM snapshots whose content lies in layers of this volume, in its active chain or in a branch beside it. */
  readonly pins: readonly PinnedLayer[];
  /** Layers at and below this path are a template. */
  readonly templatePath?: string | undefined;
  /** Layers that are nobody's, though they may lie on layers of this volume: the same operation removes them. */
  readonly givenUp?: readonly string[];
}

export interface RestoreBackupRequest {
  readonly header: CommandHeader;
  readonly storage: StorageSpec;
  readonly backupId: string;
  readonly volumes: readonly RestoreBackupVolume[];
  readonly mergeVolumes: readonly MergeVolume[];
  readonly coroutines: number;
  /** Name for a domain that does not exist any more; undefined: it must exist. */
  readonly defineMissingAs?: string | undefined;
  readonly acceptDamaged: boolean;
}

export interface RestoreBackupResult {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    readonly newPath: string;
    readonly oldPaths: readonly string[];
  }[];
  readonly changes: ChainChanges;
}

export interface CleanupBackupErrorRequest {
  readonly header: CommandHeader;
  readonly volumes: readonly MergeVolume[];
  readonly storage?: StorageSpec | undefined;
  readonly unpublishedBackupIds: readonly string[];
  readonly unusedDeltaPaths: readonly string[];
  readonly dryRun: boolean;
  /** The guest was frozen on another host and has left it: it is thawed here before anything else. */
  readonly thaw: boolean;
}

export interface CleanupBackupErrorResult {
  /** The plan as data; `plan` says the same in words. */
  readonly planned: readonly PlannedChange[];
  readonly plan: readonly string[];
  /** Target → active layer at the end. */
  readonly activePaths: Readonly<Record<string, string>>;
  readonly changes: ChainChanges;
  /** Those called unpublished whose manifests stand on storage, with the manifest's text. Absent in journals of before. */
  readonly published?: readonly { readonly backupId: string; readonly manifest: string }[] | undefined;
}

export interface ReleaseFilesRequest {
  readonly header: CommandHeader;
  readonly paths: readonly string[];
}

export interface ReleaseFilesResult {
  readonly releasedBytes: bigint;
}

export interface TakeVmSnapshotVolume {
  readonly key: string;
  readonly target: string;
  /** The active layer that the manager expects, and that holds the snapshot afterwards. */
  readonly activePath: string;
  readonly newOverlayPath: string;
}

export interface TakeVmSnapshotRequest {
  readonly header: CommandHeader;
  /** Those of the VM's disks that the snapshot is of; the others stay as they are. */
  readonly volumes: readonly TakeVmSnapshotVolume[];
  readonly quiesce: QuiesceWish;
  readonly freezeBudgetMs: number;
}

export interface TakeVmSnapshotResult {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    /** The layer that holds the snapshot's content. */
    readonly pinnedPath: string;
    readonly overlayPath: string;
    readonly overlayInode: bigint;
  }[];
  readonly quiesced: boolean;
  readonly frozenMs: number;
  readonly frozenAtUnixMs: number;
}

export interface RevertVmSnapshotVolume {
  readonly key: string;
  readonly target: string;
  readonly currentPath: string;
  /** The layer that holds the snapshot. */
  readonly pinnedPath: string;
  /** The new active layer over it. */
  readonly newOverlayPath: string;
  /** What may go afterwards, and what must stay. */
  readonly settle: MergeVolume;
}

export interface RevertVmSnapshotRequest {
  readonly header: CommandHeader;
  readonly volumes: readonly RevertVmSnapshotVolume[];
}

export interface RevertVmSnapshotResult {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    readonly overlayPath: string;
    readonly overlayInode: bigint;
  }[];
  readonly changes: ChainChanges;
}

export interface DeleteVmSnapshotsRequest {
  readonly header: CommandHeader;
  /** The pins are those of the snapshots that stay. */
  readonly volumes: readonly MergeVolume[];
  /** Snapshots that libvirt keeps record of: the record goes, never their files. */
  readonly libvirtSnapshotNames: readonly string[];
}

export interface DeleteVmSnapshotsResult {
  readonly changes: ChainChanges;
}

/** Merges the oldest, removed, full backup of a chain with its only child on storage. */
export interface CompactChainRequest {
  readonly header: CommandHeader;
  readonly storage: StorageSpec;
  readonly absorbedBackupId: string;
  readonly childBackupId: string;
  /** Limit for writing; undefined: none. */
  readonly bytesPerSecond?: bigint | undefined;
}

/** The child as it is now: full, standing alone. */
export interface CompactChainResult {
  readonly volumes: readonly { readonly key: string; readonly sizeBytes: bigint; readonly digest: string }[];
  readonly sizeBytes: bigint;
  /** Allocated bytes on storage that are free again. */
  readonly freedBytes: bigint;
}

export interface DeleteBackupsRequest {
  readonly header: CommandHeader;
  readonly deletions: readonly {
    readonly storage: StorageSpec;
    /** Newest first. One that is gone already counts as deleted. */
    readonly backupIds: readonly string[];
  }[];
  /** Deltas on primary of a head that is deleted. */
  readonly volumes: readonly MergeVolume[];
}

export interface DeleteBackupsResult {
  /** Their files are gone. */
  readonly expungedBackupIds: readonly string[];
  /** Bytes that were really allocated by what this operation deleted. */
  readonly freedBytes: bigint;
  readonly changes: ChainChanges;
}
