/** What agents say, in our own types. Wire types stay in the mapping beside. */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
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
  | { readonly kind: 'restoreBackup'; readonly value: { readonly volumes: readonly RestoredVolume[] } }
  | { readonly kind: 'cleanupBackupError'; readonly value: { readonly plan: readonly string[] } }
  | { readonly kind: 'releaseFiles'; readonly value: { readonly releasedBytes: bigint } };

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
