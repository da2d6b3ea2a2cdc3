/** A command as the agent in memory received it. */
import type {
  CleanupBackupErrorRequest,
  DeleteBackupsRequest,
  CompactChainRequest,
  DeleteVmSnapshotsRequest,
  ReleaseFilesRequest,
  RestoreBackupRequest,
  RevertVmSnapshotRequest,
  TakeBackupRequest,
  TakeVmSnapshotRequest,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';

export type ReceivedCommand =
  | { readonly kind: 'compactChain'; readonly request: CompactChainRequest }
  | { readonly kind: 'takeBackup'; readonly request: TakeBackupRequest }
  | { readonly kind: 'restoreBackup'; readonly request: RestoreBackupRequest }
  | { readonly kind: 'cleanupBackupError'; readonly request: CleanupBackupErrorRequest }
  | { readonly kind: 'releaseFiles'; readonly request: ReleaseFilesRequest }
  | { readonly kind: 'deleteBackups'; readonly request: DeleteBackupsRequest }
  | { readonly kind: 'takeVmSnapshot'; readonly request: TakeVmSnapshotRequest }
  | { readonly kind: 'revertVmSnapshot'; readonly request: RevertVmSnapshotRequest }
  | { readonly kind: 'deleteVmSnapshots'; readonly request: DeleteVmSnapshotsRequest };
