/** Every command of the agent, once. Adding an operation means adding a line here. */
import type { Command } from '../operations/command.js';
import type { CommandPorts } from './ports.js';
import type {
  CleanupBackupErrorRequest,
  CleanupBackupErrorResult,
  ReleaseFilesRequest,
  ReleaseFilesResult,
  RestoreBackupRequest,
  RestoreBackupResult,
  TakeBackupRequest,
  TakeBackupResult,
} from './requests.js';
import { cleanupBackupErrorCommand } from './cleanup-backup-error/cleanup-backup-error.js';
import { releaseFilesCommand } from './release-files/release-files.js';
import { restoreBackupCommand } from './restore-backup/restore-backup.js';
import { takeBackupCommand } from './take-backup/take-backup.js';

export interface Commands {
  readonly TakeBackup: Command<TakeBackupRequest, TakeBackupResult>;
  readonly RestoreBackup: Command<RestoreBackupRequest, RestoreBackupResult>;
  readonly CleanupBackupError: Command<CleanupBackupErrorRequest, CleanupBackupErrorResult>;
  readonly ReleaseFiles: Command<ReleaseFilesRequest, ReleaseFilesResult>;
}

/** The commands over the given ports. */
export function createCommands(ports: CommandPorts): Commands {
  return {
    TakeBackup: takeBackupCommand(ports),
    RestoreBackup: restoreBackupCommand(ports),
    CleanupBackupError: cleanupBackupErrorCommand(ports),
    ReleaseFiles: releaseFilesCommand(ports),
  };
}
