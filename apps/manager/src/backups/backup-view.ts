/** Backup rows as the public API shows them. */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { BackupId, OperationId, ScheduleId, StorageId, VmId, VolumeId } from '@holdfast/shared/ids/ids.js';
import { errorView } from '../inventory/vm-view.js';
import type { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';

export function backupView(row: BackupEntity, volumes: readonly BackupVolumeEntity[]): Backup {
  return {
    id: row.id as BackupId,
    vmId: row.vmId as VmId,
    vmName: row.vmName,
    name: row.name,
    description: row.description,
    state: row.state,
    type: row.type,
    ...optional('fullReason', row.fullReason),
    isolated: row.isolated,
    endOfChain: row.endOfChain,
    protected: row.protected,
    quiesce: row.quiesce,
    ...optional('quiesced', row.quiesced),
    ...optional('frozenMs', row.frozenMs),
    ...optional('parentId', row.parentId as BackupId | null),
    storageId: row.storageId as StorageId,
    storageReason: row.storageReason,
    ...optional('frozenAt', row.frozenAt?.toISOString() ?? null),
    ...optional('sizeBytes', row.sizeBytes?.toString() ?? null),
    volumes: volumes.map(volumeView),
    ...optional('operationId', row.operationId as OperationId | null),
    ...optional('scheduleId', row.scheduleId as ScheduleId | null),
    ...optional('error', row.error === null ? null : errorView(row.error)),
    warnings: row.warnings,
    createdAt: row.createdAt.toISOString(),
    ...optional('finishedAt', row.finishedAt?.toISOString() ?? null),
  };
}

function volumeView(row: BackupVolumeEntity): Backup['volumes'][number] {
  return {
    key: row.key as VolumeId,
    target: row.target,
    ...optional('sizeBytes', row.sizeBytes?.toString() ?? null),
    ...optional('virtualSizeBytes', row.virtualSizeBytes?.toString() ?? null),
    file: row.file,
    ...optional('parentFile', row.parentFile),
    ...optional('digest', row.digest),
    copiedInFull: row.copiedInFull,
    ...optional('copiedInFullReason', row.copiedInFullReason),
  };
}

/** `{ [key]: value }`, or nothing for null: absent is absent in JSON, never null. */
function optional<K extends string, V>(key: K, value: V | null): { [P in K]?: V } {
  return (value === null ? {} : { [key]: value }) as { [P in K]?: V };
}
