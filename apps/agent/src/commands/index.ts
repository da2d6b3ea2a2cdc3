/** Every command of the agent, once. Adding an operation means adding a line here. */
import type { Command } from '../operations/command.js';
import type { CommandPorts } from './ports.js';
import type {
  CleanupBackupErrorRequest,
  CleanupBackupErrorResult,
  DeleteBackupsRequest,
  DeleteBackupsResult,
  DeleteVmSnapshotsRequest,
  DeleteVmSnapshotsResult,
  CompactChainRequest,
  CompactChainResult,
  ReleaseFilesRequest,
  ReleaseFilesResult,
  RestoreBackupRequest,
  RestoreBackupResult,
  RevertVmSnapshotRequest,
  RevertVmSnapshotResult,
  TakeBackupRequest,
  TakeBackupResult,
  TakeVmSnapshotRequest,
  TakeVmSnapshotResult,
} from './requests.js';
import { cleanupBackupErrorCommand } from './cleanup-backup-error/cleanup-backup-error.js';
import { deleteBackupsCommand } from './delete-backups/delete-backups.js';
import { deleteVmSnapshotsCommand } from './delete-vm-snapshots/delete-vm-snapshots.js';
import { compactChainCommand } from './compact-chain/compact-chain.js';
import { releaseFilesCommand } from './release-files/release-files.js';
import { restoreBackupCommand } from './restore-backup/restore-backup.js';
import { revertVmSnapshotCommand } from './revert-vm-snapshot/revert-vm-snapshot.js';
import { takeBackupCommand } from './take-backup/take-backup.js';
import { takeVmSnapshotCommand } from './take-vm-snapshot/take-vm-snapshot.js';

export interface Commands {
  readonly TakeBackup: Command<TakeBackupRequest, TakeBackupResult>;
  readonly RestoreBackup: Command<RestoreBackupRequest, RestoreBackupResult>;
  readonly CleanupBackupError: Command<CleanupBackupErrorRequest, CleanupBackupErrorResult>;
  readonly ReleaseFiles: Command<ReleaseFilesRequest, ReleaseFilesResult>;
  readonly DeleteBackups: Command<DeleteBackupsRequest, DeleteBackupsResult>;
  readonly TakeVmSnapshot: Command<TakeVmSnapshotRequest, TakeVmSnapshotResult>;
  readonly RevertVmSnapshot: Command<RevertVmSnapshotRequest, RevertVmSnapshotResult>;
  readonly DeleteVmSnapshots: Command<DeleteVmSnapshotsRequest, DeleteVmSnapshotsResult>;
  readonly CompactChain: Command<CompactChainRequest, CompactChainResult>;
}

/** The commands over the given ports. */
export function createCommands(ports: CommandPorts): Commands {
  return {
    TakeBackup: takeBackupCommand(ports),
    RestoreBackup: restoreBackupCommand(ports),
    CleanupBackupError: cleanupBackupErrorCommand(ports),
    ReleaseFiles: releaseFilesCommand(ports),
    DeleteBackups: deleteBackupsCommand(ports),
    TakeVmSnapshot: takeVmSnapshotCommand(ports),
    RevertVmSnapshot: revertVmSnapshotCommand(ports),
    DeleteVmSnapshots: deleteVmSnapshotsCommand(ports),
    CompactChain: compactChainCommand(ports),
  };
}
