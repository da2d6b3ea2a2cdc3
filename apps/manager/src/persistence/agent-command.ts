/**
 * What an agent is told to do: plain data, kept in the operation's row before it is sent, and sent again unchanged after any
 * doubt. Numbers that JSON would round are decimal strings.
 */
/** How an agent reaches a secondary storage. */
export interface StorageAccess {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

export interface CommandHeader {
  readonly operationId: string;
  readonly vmUuid: string;
  /** For messages only. */
  readonly vmName: string;
  readonly fencingToken: string;
  /** 0: none. */
  readonly timeoutSeconds: number;
}

export interface TakeBackupVolume {
  readonly key: string;
  readonly target: string;
  readonly activePath: string;
  readonly newDeltaPath: string;
  /** Empty: the whole volume is copied. */
  readonly parentDeltaPath: string;
  readonly parentDeltaInode: string;
  readonly mergeDeltaPaths: readonly string[];
  /** Empty: it has none. */
  readonly templatePath: string;
  readonly pins: readonly PinnedLayer[];
}

/** A layer whose content is that of a VM snapshot and must stay. */
export interface PinnedLayer {
  readonly snapshotId: string;
  readonly path: string;
}

export interface TakeBackup {
  readonly storage: StorageAccess;
  readonly backupId: string;
  readonly backupName: string;
  readonly type: 'FULL' | 'INCREMENTAL';
  /** Empty for a full backup. */
  readonly parentBackupId: string;
  readonly isolated: boolean;
  readonly endOfChain: boolean;
  readonly quiesce: 'no' | 'try' | 'require';
  readonly freezeBudgetMs: number;
  readonly volumes: readonly TakeBackupVolume[];
  readonly coroutines: number;
  readonly manifestNotes: Readonly<Record<string, string>>;
  readonly vmSettings: Readonly<Record<string, string>>;
}

export interface MergeVolume {
  readonly target: string;
  /** Layers of ours that may go; one that a snapshot or a second child still needs stays. */
  readonly deltaPaths: readonly string[];
  readonly pins: readonly PinnedLayer[];
  /** Empty: it has none. */
  readonly templatePath: string;
}

export interface RestoreBackup {
  readonly storage: StorageAccess;
  readonly backupId: string;
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    /** Empty: the volume is detached now. */
    readonly currentPath: string;
    readonly newPath: string;
    readonly templatePath: string;
  }[];
  readonly mergeVolumes: readonly MergeVolume[];
  readonly coroutines: number;
  /** Empty: the domain must exist. */
  readonly defineMissingAs: string;
  readonly acceptDamaged: boolean;
}

export interface CleanupBackupError {
  readonly volumes: readonly MergeVolume[];
  readonly storage: StorageAccess | null;
  readonly unpublishedBackupIds: readonly string[];
  readonly unusedDeltaPaths: readonly string[];
  readonly dryRun: boolean;
  /** The guest may have left another host frozen. */
  readonly thaw: boolean;
}

export interface ReleaseFiles {
  readonly paths: readonly string[];
}

export interface DeleteBackups {
  readonly deletions: readonly {
    readonly storage: StorageAccess;
    /** Newest first. */
    readonly backupIds: readonly string[];
  }[];
  readonly volumes: readonly MergeVolume[];
}

/** Merges the oldest, deleted backup of a chain with its only child on storage. */
export interface CompactChain {
  readonly storage: StorageAccess;
  readonly absorbedBackupId: string;
  readonly childBackupId: string;
  /** Limit for writing; "0": none. */
  readonly bytesPerSecond: string;
}

export interface TakeVmSnapshot {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    /** Holds the snapshot afterwards. */
    readonly activePath: string;
    readonly newOverlayPath: string;
  }[];
  readonly quiesce: 'no' | 'try' | 'require';
  readonly freezeBudgetMs: number;
}

export interface RevertVmSnapshot {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    readonly currentPath: string;
    readonly pinnedPath: string;
    readonly newOverlayPath: string;
    /** What may go afterwards, and what must stay. */
    readonly settle: MergeVolume;
  }[];
}

export interface DeleteVmSnapshots {
  /** The pins are those of the snapshots that stay. */
  readonly volumes: readonly MergeVolume[];
  readonly libvirtSnapshotNames: readonly string[];
}

export type AgentCommand =
  | { readonly kind: 'takeBackup'; readonly request: TakeBackup }
  | { readonly kind: 'restoreBackup'; readonly request: RestoreBackup }
  | { readonly kind: 'cleanupBackupError'; readonly request: CleanupBackupError }
  | { readonly kind: 'releaseFiles'; readonly request: ReleaseFiles }
  | { readonly kind: 'deleteBackups'; readonly request: DeleteBackups }
  | { readonly kind: 'compactChain'; readonly request: CompactChain }
  | { readonly kind: 'takeVmSnapshot'; readonly request: TakeVmSnapshot }
  | { readonly kind: 'revertVmSnapshot'; readonly request: RevertVmSnapshot }
  | { readonly kind: 'deleteVmSnapshots'; readonly request: DeleteVmSnapshots };

/** A command with everything that is sent. */
export type AddressedCommand = AgentCommand & { readonly header: CommandHeader };
