/** What services answer, as messages of holdfast.manager.v1. Pure mapping: decides nothing. */
import type * as api from '@holdfast/shared/api/access.js';
import type { Backup, DeletionPlan, Usage } from '@holdfast/shared/api/backups.js';
import type { Host, SupersededFile, Vm, Volume, Zone } from '@holdfast/shared/api/inventory.js';
import type { Offering } from '@holdfast/shared/api/offerings.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { RetentionVerdict, Schedule } from '@holdfast/shared/api/schedules.js';
import type { ScannedBackup, Storage, StorageCheck, StorageCleaning, StorageScan } from '@holdfast/shared/api/storage.js';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import type * as access from '@holdfast/shared/wire/generated/holdfast/manager/v1/access.js';
import type * as backup from '@holdfast/shared/wire/generated/holdfast/manager/v1/backup.js';
import type { ErrorInfo } from '@holdfast/shared/wire/generated/holdfast/manager/v1/common.js';
import type * as inventory from '@holdfast/shared/wire/generated/holdfast/manager/v1/inventory.js';
import type { BackupOffering } from '@holdfast/shared/wire/generated/holdfast/manager/v1/offering.js';
import type * as operation from '@holdfast/shared/wire/generated/holdfast/manager/v1/operation.js';
import type * as schedule from '@holdfast/shared/wire/generated/holdfast/manager/v1/schedule.js';
import type * as storages from '@holdfast/shared/wire/generated/holdfast/manager/v1/storage.js';
import type * as vmSnapshot from '@holdfast/shared/wire/generated/holdfast/manager/v1/vm_snapshot.js';
import * as enums from './enums.js';

function moment(iso: string | undefined): Date | undefined {
  return iso === undefined ? undefined : new Date(iso);
}

function size(decimal: string | undefined): bigint | undefined {
  return decimal === undefined ? undefined : BigInt(decimal);
}

function errorInfo(error: Vm['protectionReason']): ErrorInfo | undefined {
  return error === undefined ? undefined : { code: error.code, message: error.message, fields: error.fields };
}

export function zoneMessage(zone: Zone): inventory.Zone {
  return { ...zone, createdAt: moment(zone.createdAt) };
}

export function hostMessage(host: Host): inventory.Host {
  return {
    ...host,
    state: enums.HOST_STATES[host.state],
    primaryPools: host.primaryPools.map((pool) => ({
      path: pool.path,
      totalBytes: BigInt(pool.totalBytes),
      freeBytes: BigInt(pool.freeBytes),
    })),
    lastSeenAt: moment(host.lastSeenAt),
    createdAt: moment(host.createdAt),
  };
}

export function vmMessage(vm: Vm): inventory.Vm {
  return {
    ...vm,
    powerState: enums.POWER_STATES[vm.powerState],
    protectionState: enums.PROTECTION_STATES[vm.protectionState],
    protectionReason: errorInfo(vm.protectionReason),
    problems: vm.problems.map((problem) => ({ ...problem })),
    lastBackupAt: moment(vm.lastBackupAt),
  };
}

export function volumeMessage(volume: Volume): inventory.Volume {
  return {
    ...volume,
    virtualSizeBytes: BigInt(volume.virtualSizeBytes),
    layers: volume.layers.map((layer) => ({ ...layer, allocatedBytes: BigInt(layer.allocatedBytes) })),
    refusal: errorInfo(volume.refusal),
  };
}

export function supersededFileMessage(file: SupersededFile): inventory.SupersededFile {
  return { ...file, supersededAt: moment(file.supersededAt) };
}

export function storageMessage(storage: Storage): storages.SecondaryStorage {
  return {
    ...storage,
    type: enums.STORAGE_TYPES[storage.type],
    totalBytes: size(storage.totalBytes),
    freeBytes: size(storage.freeBytes),
    problem: errorInfo(storage.problem),
    checkedAt: moment(storage.checkedAt),
    createdAt: moment(storage.createdAt),
  };
}

export function storageCheckMessage(check: StorageCheck): storages.StorageCheck {
  return {
    ...check,
    files: BigInt(check.files),
    checkedAt: moment(check.checkedAt),
    allocatedBytes: BigInt(check.allocatedBytes),
    findings: check.findings.map((finding) => ({ ...finding, allocatedBytes: BigInt(finding.allocatedBytes) })),
  };
}

export function storageScanMessage(scan: StorageScan): storages.StorageScan {
  const each = (backups: readonly ScannedBackup[]): storages.ScannedBackup[] =>
    backups.map((one) => ({ ...one, frozenAt: moment(one.frozenAt) }));
  const { takenUp, corrected, left } = scan;
  return {
    ...scan,
    scannedAt: moment(scan.scannedAt),
    takenUp: each(takenUp),
    corrected: each(corrected),
    left: each(left),
  };
}

export function storageCleaningMessage({ cleaned, freedBytes }: StorageCleaning): storages.StorageCleaning {
  return {
    cleaned: cleaned.map((one) => ({ ...one, freedBytes: BigInt(one.freedBytes), kept: errorInfo(one.kept) })),
    freedBytes: BigInt(freedBytes),
  };
}

export function offeringMessage(offering: Offering): BackupOffering {
  return { ...offering, createdAt: moment(offering.createdAt) };
}

export function backupMessage(one: Backup): backup.Backup {
  return {
    ...one,
    state: enums.BACKUP_STATES[one.state],
    type: enums.BACKUP_TYPES[one.type],
    quiesce: enums.QUIESCE[one.quiesce],
    frozenAt: moment(one.frozenAt),
    sizeBytes: size(one.sizeBytes),
    volumes: one.volumes.map((volume) => ({
      ...volume,
      sizeBytes: size(volume.sizeBytes),
      virtualSizeBytes: size(volume.virtualSizeBytes),
    })),
    error: errorInfo(one.error),
    createdAt: moment(one.createdAt),
    finishedAt: moment(one.finishedAt),
  };
}

export function scheduleMessage(one: Schedule): schedule.BackupSchedule {
  return {
    ...one,
    quiesce: enums.QUIESCE[one.quiesce],
    nextRunAt: moment(one.nextRunAt),
    lastRunAt: moment(one.lastRunAt),
    lastBackupState: one.lastBackupState === undefined ? undefined : enums.BACKUP_STATES[one.lastBackupState],
    lastError: errorInfo(one.lastError),
    createdAt: moment(one.createdAt),
  };
}

export function vmSnapshotMessage(one: VmSnapshot): vmSnapshot.VmSnapshot {
  return {
    ...one,
    origin: enums.VM_SNAPSHOT_ORIGINS[one.origin],
    state: enums.VM_SNAPSHOT_STATES[one.state],
    quiesce: enums.QUIESCE[one.quiesce ?? 'no'],
    frozenAt: moment(one.frozenAt),
    volumes: one.volumes.map((volume) => ({ ...volume })),
    error: errorInfo(one.error),
    createdAt: moment(one.createdAt),
  };
}

export function retentionVerdictMessage(one: RetentionVerdict): schedule.RetentionVerdict {
  return { ...one, frozenAt: moment(one.frozenAt) };
}

export function deletionPlanMessage(plan: DeletionPlan): backup.DeletionPlan {
  const deleted = (one: DeletionPlan['removed'][number]): backup.DeletedBackup => ({ ...one, sizeBytes: size(one.sizeBytes) });
  return {
    ...plan,
    removed: plan.removed.map(deleted),
    expunged: plan.expunged.map(deleted),
    chainEnds: plan.chainEnds.map(deleted),
    freedBytes: BigInt(plan.freedBytes),
    refusals: plan.refusals.map(({ backupId, error }) => ({ backupId, error: errorInfo(error) })),
  };
}

export function usageMessage(usage: Usage): backup.Usage {
  return { ...usage, sizeBytes: BigInt(usage.sizeBytes), deletedBytes: BigInt(usage.deletedBytes) };
}

export function operationMessage(one: Operation): operation.Operation {
  return {
    ...one,
    kind: enums.OPERATION_KINDS[one.kind],
    state: enums.OPERATION_STATES[one.state],
    revision: BigInt(one.revision),
    steps: one.steps.map((step) => ({
      name: step.name,
      subject: step.subject,
      state: enums.STEP_STATES[step.state],
      startedAt: moment(step.startedAt),
      finishedAt: moment(step.finishedAt),
    })),
    progress: one.progress.map((volume) => ({
      ...volume,
      doneBytes: BigInt(volume.doneBytes),
      totalBytes: size(volume.totalBytes),
    })),
    error: errorInfo(one.error),
    plan: one.plan ?? [],
    planned: (one.planned ?? []).map(({ action, target = '', path = '', into = '', because = '', backupId = '' }) => ({
      action,
      target,
      path,
      into,
      because,
      backupId,
    })),
    createdAt: moment(one.createdAt),
    startedAt: moment(one.startedAt),
    finishedAt: moment(one.finishedAt),
  };
}

export function accountMessage(account: api.Account): access.Account {
  return { ...account, createdAt: moment(account.createdAt) };
}

export function apiKeyMessage(key: api.ApiKey): access.ApiKey {
  return {
    id: key.id,
    name: key.name,
    role: enums.ROLES[key.role],
    accountId: key.accountId,
    createdAt: moment(key.createdAt),
    expiresAt: moment(key.expiresAt),
  };
}
