/** What agents say, in our own types. Wire types stay in the mapping beside. */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Operation, PlannedChange } from '@holdfast/shared/api/operations.js';
export interface HostInfo {
  readonly hostId: string;
  readonly hostname: string;
  readonly agentVersion: string;
  readonly protocolVersion: number;
  readonly libvirtVersion: string;
  readonly qemuVersion: string;
  readonly hypervisorAvailable: boolean;
  readonly primaryPools: readonly { path: string; totalBytes: bigint; freeBytes: bigint }[];
  readonly maxConcurrentOperations: number;
}

export interface SeenLayer {
  readonly path: string;
  readonly format: string;
  readonly inode: bigint;
  readonly virtualSizeBytes: bigint;
  readonly allocatedBytes: bigint;
}

export interface SeenDisk {
  readonly target: string;
  readonly serial: string;
  readonly format: string;
  readonly virtualSizeBytes: bigint;
  readonly layers: readonly SeenLayer[];
  readonly refusal: ErrorData | null;
}

export type SeenPowerState = 'Running' | 'Paused' | 'Stopped' | 'Other';

/** A VM as an agent sees it. */
export interface SeenDomain {
  readonly uuid: string;
  readonly name: string;
  readonly state: SeenPowerState;
  readonly guestAgent: boolean;
  readonly disks: readonly SeenDisk[];
  readonly problems: readonly ErrorData[];
  readonly snapshots: readonly SeenLibvirtSnapshot[];
}

/** A snapshot that libvirt itself keeps record of. */
export interface SeenLibvirtSnapshot {
  readonly name: string;
  /** Empty: it has none. */
  readonly parentName: string;
  readonly createdAtUnixMs: bigint;
  readonly current: boolean;
  /** It holds memory, or is kept inside an image. */
  readonly foreignKind: boolean;
  readonly disks: readonly { readonly target: string; readonly pinnedPath: string; readonly overlayPath: string }[];
}

export interface DomainChanges {
  readonly full: boolean;
  readonly domains: readonly SeenDomain[];
  readonly goneUuids: readonly string[];
}

export interface StorageFacts {
  readonly storageId: string;
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
  readonly writable: boolean;
}

/** A file or directory below `backups/` of a storage, by its path relative to the storage's root. */
export interface SurveyedEntry {
  readonly path: string;
  readonly directory: boolean;
  readonly sizeBytes: bigint;
  readonly allocatedBytes: bigint;
  /** Text of a manifest.json. */
  readonly manifest: string | undefined;
  /** Of a qcow2 file; empty: its header names none. */
  readonly backingName: string | undefined;
  /** Of a domain.xml: the hard disks of the VM as it was then; path is empty when one was no file. */
  readonly disks: readonly SurveyedDisk[];
  /** Why manifest, header or definition could not be read; empty: they could. */
  readonly problem: string;
}

export interface SurveyedDisk {
  readonly target: string;
  readonly serial: string;
  readonly path: string;
}

/** A file in a primary pool under a name that Holdfast gives to layers. */
export interface SurveyedLayer {
  readonly path: string;
  readonly inode: bigint;
  readonly sizeBytes: bigint;
  readonly allocatedBytes: bigint;
}

export interface RemovedStray {
  readonly path: string;
  readonly freedBytes: bigint;
  /** Why it stays; null: it is gone. */
  readonly kept: ErrorData | null;
}

/** A VM that is on another host than the one that is told of it. */
export interface VmElsewhere {
  readonly vmUuid: string;
  /** The VM's newest when this was read. */
  readonly fencingToken: bigint;
  readonly volumes: readonly VolumeElsewhere[];
}

export interface VolumeElsewhere {
  /** As last seen, the active one first. */
  readonly layers: readonly string[];
  /** New active layers that an operation is about to put on them. */
  readonly planned: readonly string[];
  /** The first of the layers really is the newest. */
  readonly certain: boolean;
}

/** `Unknown`: the agent did not say; the chain has to be looked at again. */
export type AgentOutcome = 'AsBefore' | 'AsAfter' | 'MergePending' | 'Unexplained' | 'Unknown';

export interface TakenVolume {
  readonly key: string;
  readonly target: string;
  readonly sizeBytes: bigint;
  readonly virtualSizeBytes: bigint;
  readonly digest: string;
  /** Empty when it was merged at once. */
  readonly deltaPath: string;
  readonly deltaInode: bigint;
  readonly copiedInFull: boolean;
}
export interface TakenBackup {
  readonly volumes: readonly TakenVolume[];
  readonly quiesced: boolean;
  readonly frozenMs: number;
  readonly frozenAtUnixMs: bigint;
  readonly sizeBytes: bigint;
  readonly changes?: ChainChanges | undefined;
}

/** What an operation changed on primary. */
export interface ChainChanges {
  /** Layers of ours that are in no chain any more and whose files are gone. */
  readonly removedPaths: readonly string[];
  /** Layers of ours that were merged, so that they are in no chain any more, and whose files could not be deleted yet. */
  readonly leftPaths: readonly string[];
  /** Snapshots whose content lies in another file now. */
  readonly movedPins: readonly { readonly snapshotId: string; readonly target: string; readonly path: string }[];
}
export interface RestoredVolume {
  readonly key: string;
  readonly target: string;
  readonly newPath: string;
  /** Nothing refers to them any more. */
  readonly oldPaths: readonly string[];
}

export type AgentResult =
  | { readonly kind: 'takeBackup'; readonly value: TakenBackup }
  | {
      readonly kind: 'restoreBackup';
      readonly value: { readonly volumes: readonly RestoredVolume[]; readonly changes?: ChainChanges | undefined };
    }
  | {
      readonly kind: 'cleanupBackupError';
      readonly value: {
        readonly plan: readonly string[];
        readonly planned: readonly PlannedChange[];
        readonly changes?: ChainChanges | undefined;
        readonly published: readonly PublishedBackup[];
      };
    }
  | { readonly kind: 'releaseFiles'; readonly value: { readonly releasedBytes: bigint } }
  | { readonly kind: 'deleteBackups'; readonly value: DeletedBackups }
  | { readonly kind: 'takeVmSnapshot'; readonly value: TakenVmSnapshot }
  | { readonly kind: 'revertVmSnapshot'; readonly value: RevertedVmSnapshot }
  | { readonly kind: 'deleteVmSnapshots'; readonly value: { readonly changes?: ChainChanges | undefined } }
  | { readonly kind: 'compactChain'; readonly value: CompactedChain };

/** A backup that was called unpublished and whose manifest stands on storage. */
export interface PublishedBackup {
  readonly backupId: string;
  /** The text of its manifest, as it was found. */
  readonly manifest: string;
}

export interface DeletedBackups {
  readonly expungedBackupIds: readonly string[];
  readonly freedBytes: bigint;
  readonly changes?: ChainChanges | undefined;
}

export interface TakenVmSnapshot {
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
  readonly frozenAtUnixMs: bigint;
}

export interface RevertedVmSnapshot {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    /** The new active layer over the snapshot's. */
    readonly overlayPath: string;
    readonly overlayInode: bigint;
  }[];
  readonly changes?: ChainChanges | undefined;
}

export interface CompactedChain {
  readonly volumes: readonly { readonly key: string; readonly sizeBytes: bigint; readonly digest: string }[];
  readonly sizeBytes: bigint;
  readonly freedBytes: bigint;
}

/** An unfinished operation of a host, known to this database or not. */
export interface UnfinishedWork {
  readonly vmId: string;
  /** It makes files on primary storage that no VM uses yet: a restore, a revert. */
  readonly makesPrimaryFiles: boolean;
}

/** An operation as the agent that runs it says it is. */
export interface AgentOperation {
  readonly id: string;
  readonly state: Operation['state'];
  readonly revision: bigint;
  readonly steps: Operation['steps'];
  readonly progress: Operation['progress'];
  readonly error: ErrorData | null;
  readonly outcome: AgentOutcome;
  readonly warnings: readonly string[];
  readonly result: AgentResult | undefined;
}
