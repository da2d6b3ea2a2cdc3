/** What agents say, in our own types. No wire types outside of this folder but the requests of operations. */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type {
  CleanupBackupErrorRequest,
  ReleaseFilesRequest,
  RestoreBackupRequest,
  TakeBackupRequest,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type {
  CleanupBackupErrorResult,
  ReleaseFilesResult,
  RestoreBackupResult,
  TakeBackupResult,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';

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

/** How an agent reaches a secondary storage. */
export interface StorageAccess {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

/** `Unknown`: the agent did not say; the chain has to be looked at again. */
export type AgentOutcome = 'AsBefore' | 'AsAfter' | 'MergePending' | 'Unexplained' | 'Unknown';

export type AgentResult =
  | { readonly kind: 'takeBackup'; readonly value: TakeBackupResult }
  | { readonly kind: 'restoreBackup'; readonly value: RestoreBackupResult }
  | { readonly kind: 'cleanupBackupError'; readonly value: CleanupBackupErrorResult }
  | { readonly kind: 'releaseFiles'; readonly value: ReleaseFilesResult };

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

/** The request of one operation; its header is filled in when it is sent. */
export type AgentCommand =
  | { readonly kind: 'takeBackup'; readonly request: TakeBackupRequest }
  | { readonly kind: 'restoreBackup'; readonly request: RestoreBackupRequest }
  | { readonly kind: 'cleanupBackupError'; readonly request: CleanupBackupErrorRequest }
  | { readonly kind: 'releaseFiles'; readonly request: ReleaseFilesRequest };
