/** VM, volume and left-behind-file rows as the public API shows them. */
import type { SupersededFile, Vm, Volume } from '@holdfast/shared/api/inventory.js';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { AccountId, BackupId, HostId, OfferingId, VmId, VolumeId, ZoneId } from '@holdfast/shared/ids/ids.js';
import type { SupersededFileEntity, VmEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';

/** Error data with fields that may be changed, as the schemas have it. */
export function errorView(data: ErrorData): { code: ErrorData['code']; message: string; fields: Record<string, string> } {
  return { code: data.code, message: data.message, fields: { ...data.fields } };
}

export function vmView(row: VmEntity): Vm {
  return {
    id: row.id as VmId,
    name: row.name,
    zoneId: row.zoneId as ZoneId,
    ...(row.hostId === null ? {} : { hostId: row.hostId as HostId }),
    ...(row.accountId === null ? {} : { accountId: row.accountId as AccountId }),
    powerState: row.powerState,
    protectionState: row.protectionState,
    ...(row.protectionReason === null ? {} : { protectionReason: errorView(row.protectionReason) }),
    ...(row.offeringId === null ? {} : { offeringId: row.offeringId as OfferingId }),
    ...(row.headBackupId === null ? {} : { headBackupId: row.headBackupId as BackupId }),
    guestAgent: row.guestAgent,
    problems: row.problems.map(errorView),
    ...(row.activeOperationId === null ? {} : { busyWith: row.activeOperationId }),
    ...(row.lastBackupAt === null ? {} : { lastBackupAt: row.lastBackupAt.toISOString() }),
  };
}

/** `deltaPaths`: the deltas of ours that the volume has. */
export function volumeView(row: VolumeEntity, deltaPaths: ReadonlySet<string>): Volume {
  return {
    id: row.id as VolumeId,
    vmId: row.vmId as VmId,
    target: row.target,
    attached: row.attached,
    virtualSizeBytes: row.virtualSizeBytes.toString(),
    layers: row.layers.map(({ path, format, allocatedBytes }) => ({
      path,
      format,
      allocatedBytes,
      backupDelta: deltaPaths.has(path),
    })),
    ...(row.refusal === null ? {} : { refusal: errorView(row.refusal) }),
  };
}

export function supersededFileView(row: SupersededFileEntity): SupersededFile {
  return {
    id: row.id,
    vmId: row.vmId as VmId,
    volumeId: row.volumeId as VolumeId,
    hostId: row.hostId as HostId,
    path: row.path,
    operationId: row.operationId,
    byNameOnly: row.byNameOnly,
    supersededAt: row.supersededAt.toISOString(),
  };
}
