/** Commands as the wire has them. */
import type {
  CleanupBackupErrorRequest,
  DeleteBackupsRequest,
  CompactChainRequest,
  DeleteVmSnapshotsRequest,
  MergeVolume as WireMergeVolume,
  ReleaseFilesRequest,
  RestoreBackupRequest,
  RevertVmSnapshotRequest,
  TakeBackupRequest,
  TakeVmSnapshotRequest,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { BackupType, Quiesce, type OperationHeader } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type {
  CleanupBackupError,
  CommandHeader,
  DeleteBackups,
  CompactChain,
  DeleteVmSnapshots,
  MergeVolume,
  ReleaseFiles,
  RestoreBackup,
  RevertVmSnapshot,
  TakeBackup,
  TakeVmSnapshot,
} from '../persistence/agent-command.js';

const TYPES = { FULL: BackupType.BACKUP_TYPE_FULL, INCREMENTAL: BackupType.BACKUP_TYPE_INCREMENTAL } as const;
const QUIESCE = { no: Quiesce.QUIESCE_NO, try: Quiesce.QUIESCE_TRY, require: Quiesce.QUIESCE_REQUIRE } as const;

export function toTakeBackupRequest(header: CommandHeader, command: TakeBackup): TakeBackupRequest {
  return {
    ...command,
    header: toHeader(header),
    type: TYPES[command.type],
    quiesce: QUIESCE[command.quiesce],
    volumes: command.volumes.map((volume) => ({
      ...volume,
      parentDeltaInode: BigInt(volume.parentDeltaInode),
      mergeDeltaPaths: [...volume.mergeDeltaPaths],
      pins: [...volume.pins],
    })),
    manifestNotes: { ...command.manifestNotes },
    vmSettings: { ...command.vmSettings },
  };
}

export function toRestoreBackupRequest(header: CommandHeader, command: RestoreBackup): RestoreBackupRequest {
  return {
    ...command,
    header: toHeader(header),
    volumes: command.volumes.map((volume) => ({ ...volume })),
    mergeVolumes: command.mergeVolumes.map(toMergeVolume),
  };
}

export function toCleanupRequest(header: CommandHeader, command: CleanupBackupError): CleanupBackupErrorRequest {
  return {
    header: toHeader(header),
    volumes: command.volumes.map(toMergeVolume),
    storage: command.storage ?? undefined,
    unpublishedBackupIds: [...command.unpublishedBackupIds],
    unusedDeltaPaths: [...command.unusedDeltaPaths],
    dryRun: command.dryRun,
    thaw: command.thaw,
  };
}

export function toCompactChainRequest(header: CommandHeader, command: CompactChain): CompactChainRequest {
  return { ...command, header: toHeader(header), bytesPerSecond: BigInt(command.bytesPerSecond) };
}

export function toReleaseFilesRequest(header: CommandHeader, command: ReleaseFiles): ReleaseFilesRequest {
  return { header: toHeader(header), paths: [...command.paths] };
}

export function toDeleteBackupsRequest(header: CommandHeader, command: DeleteBackups): DeleteBackupsRequest {
  return {
    header: toHeader(header),
    deletions: command.deletions.map(({ storage, backupIds }) => ({ storage: { ...storage }, backupIds: [...backupIds] })),
    volumes: command.volumes.map(toMergeVolume),
  };
}

export function toTakeVmSnapshotRequest(header: CommandHeader, command: TakeVmSnapshot): TakeVmSnapshotRequest {
  return {
    ...command,
    header: toHeader(header),
    quiesce: QUIESCE[command.quiesce],
    volumes: command.volumes.map((volume) => ({ ...volume })),
  };
}

export function toRevertVmSnapshotRequest(header: CommandHeader, command: RevertVmSnapshot): RevertVmSnapshotRequest {
  return {
    header: toHeader(header),
    volumes: command.volumes.map((volume) => ({ ...volume, settle: toMergeVolume(volume.settle) })),
  };
}

export function toDeleteVmSnapshotsRequest(header: CommandHeader, command: DeleteVmSnapshots): DeleteVmSnapshotsRequest {
  return {
    header: toHeader(header),
    volumes: command.volumes.map(toMergeVolume),
    libvirtSnapshotNames: [...command.libvirtSnapshotNames],
  };
}

function toHeader(header: CommandHeader): OperationHeader {
  return { ...header, fencingToken: BigInt(header.fencingToken) };
}

function toMergeVolume(volume: MergeVolume): WireMergeVolume {
  return { ...volume, deltaPaths: [...volume.deltaPaths], pins: [...volume.pins] };
}
