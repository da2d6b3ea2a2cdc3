/**
 * The enums of the wire and the strings of our own types, both ways, complete at compile time.
 * The only place that knows both.
 */
import type { Role } from '@holdfast/shared/api/access.js';
import type { Backup, BackupState, CreateBackup } from '@holdfast/shared/api/backups.js';
import type { Host, Vm } from '@holdfast/shared/api/inventory.js';
import type { Operation, OperationKind, OperationState } from '@holdfast/shared/api/operations.js';
import type { Storage } from '@holdfast/shared/api/storage.js';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import * as access from '@holdfast/shared/wire/generated/holdfast/manager/v1/access.js';
import * as backup from '@holdfast/shared/wire/generated/holdfast/manager/v1/backup.js';
import * as inventory from '@holdfast/shared/wire/generated/holdfast/manager/v1/inventory.js';
import * as operation from '@holdfast/shared/wire/generated/holdfast/manager/v1/operation.js';
import * as storage from '@holdfast/shared/wire/generated/holdfast/manager/v1/storage.js';
import * as vmSnapshot from '@holdfast/shared/wire/generated/holdfast/manager/v1/vm_snapshot.js';
import { InvalidInput } from '../errors/invalid-input.js';

export const ROLES = { admin: access.Role.ROLE_ADMIN, user: access.Role.ROLE_USER } as const satisfies Record<Role, access.Role>;

export const HOST_STATES = {
  Up: inventory.HostState.HOST_STATE_UP,
  Down: inventory.HostState.HOST_STATE_DOWN,
  Incompatible: inventory.HostState.HOST_STATE_INCOMPATIBLE,
} as const satisfies Record<Host['state'], inventory.HostState>;

export const POWER_STATES = {
  Running: inventory.VmPowerState.VM_POWER_STATE_RUNNING,
  Paused: inventory.VmPowerState.VM_POWER_STATE_PAUSED,
  Stopped: inventory.VmPowerState.VM_POWER_STATE_STOPPED,
  Other: inventory.VmPowerState.VM_POWER_STATE_OTHER,
  Unknown: inventory.VmPowerState.VM_POWER_STATE_UNKNOWN,
  Gone: inventory.VmPowerState.VM_POWER_STATE_GONE,
} as const satisfies Record<Vm['powerState'], inventory.VmPowerState>;

export const PROTECTION_STATES = {
  Ok: inventory.VmProtectionState.VM_PROTECTION_STATE_OK,
  MergePending: inventory.VmProtectionState.VM_PROTECTION_STATE_MERGE_PENDING,
  BackupError: inventory.VmProtectionState.VM_PROTECTION_STATE_BACKUP_ERROR,
} as const satisfies Record<Vm['protectionState'], inventory.VmProtectionState>;

export const STORAGE_TYPES = {
  dir: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_DIR,
  nfs: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_NFS,
  nfs4: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_NFS4,
  cifs: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_CIFS,
  ceph: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_CEPH,
  ext4: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_EXT4,
  xfs: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_XFS,
  btrfs: storage.SecondaryStorageType.SECONDARY_STORAGE_TYPE_BTRFS,
} as const satisfies Record<Storage['type'], storage.SecondaryStorageType>;

export const BACKUP_STATES = {
  Queued: backup.BackupState.BACKUP_STATE_QUEUED,
  BackingUp: backup.BackupState.BACKUP_STATE_BACKING_UP,
  BackedUp: backup.BackupState.BACKUP_STATE_BACKED_UP,
  Failed: backup.BackupState.BACKUP_STATE_FAILED,
  Removed: backup.BackupState.BACKUP_STATE_REMOVED,
  Expunged: backup.BackupState.BACKUP_STATE_EXPUNGED,
  DeleteFailed: backup.BackupState.BACKUP_STATE_DELETE_FAILED,
} as const satisfies Record<BackupState, backup.BackupState>;

export const BACKUP_TYPES = {
  FULL: backup.BackupType.BACKUP_TYPE_FULL,
  INCREMENTAL: backup.BackupType.BACKUP_TYPE_INCREMENTAL,
} as const satisfies Record<Backup['type'], backup.BackupType>;

export const QUIESCE = {
  no: backup.Quiesce.QUIESCE_NO,
  try: backup.Quiesce.QUIESCE_TRY,
  require: backup.Quiesce.QUIESCE_REQUIRE,
} as const satisfies Record<CreateBackup['quiesce'], backup.Quiesce>;

export const VM_SNAPSHOT_STATES = {
  Creating: vmSnapshot.VmSnapshotState.VM_SNAPSHOT_STATE_CREATING,
  Ready: vmSnapshot.VmSnapshotState.VM_SNAPSHOT_STATE_READY,
  Deleting: vmSnapshot.VmSnapshotState.VM_SNAPSHOT_STATE_DELETING,
  Removed: vmSnapshot.VmSnapshotState.VM_SNAPSHOT_STATE_REMOVED,
  Failed: vmSnapshot.VmSnapshotState.VM_SNAPSHOT_STATE_FAILED,
} as const satisfies Record<VmSnapshot['state'], vmSnapshot.VmSnapshotState>;

export const VM_SNAPSHOT_ORIGINS = {
  holdfast: vmSnapshot.VmSnapshotOrigin.VM_SNAPSHOT_ORIGIN_HOLDFAST,
  libvirt: vmSnapshot.VmSnapshotOrigin.VM_SNAPSHOT_ORIGIN_LIBVIRT,
} as const satisfies Record<VmSnapshot['origin'], vmSnapshot.VmSnapshotOrigin>;

export const OPERATION_KINDS = {
  TakeBackup: operation.OperationKind.OPERATION_KIND_TAKE_BACKUP,
  RestoreBackup: operation.OperationKind.OPERATION_KIND_RESTORE_BACKUP,
  CleanupBackupError: operation.OperationKind.OPERATION_KIND_CLEANUP_BACKUP_ERROR,
  ReleaseFiles: operation.OperationKind.OPERATION_KIND_RELEASE_FILES,
  DeleteBackups: operation.OperationKind.OPERATION_KIND_DELETE_BACKUPS,
  CompactChain: operation.OperationKind.OPERATION_KIND_COMPACT_CHAIN,
  TakeVmSnapshot: operation.OperationKind.OPERATION_KIND_TAKE_VM_SNAPSHOT,
  RevertVmSnapshot: operation.OperationKind.OPERATION_KIND_REVERT_VM_SNAPSHOT,
  DeleteVmSnapshots: operation.OperationKind.OPERATION_KIND_DELETE_VM_SNAPSHOTS,
} as const satisfies Record<OperationKind, operation.OperationKind>;

export const OPERATION_STATES = {
  Queued: operation.OperationState.OPERATION_STATE_QUEUED,
  Running: operation.OperationState.OPERATION_STATE_RUNNING,
  Undoing: operation.OperationState.OPERATION_STATE_UNDOING,
  Succeeded: operation.OperationState.OPERATION_STATE_SUCCEEDED,
  Failed: operation.OperationState.OPERATION_STATE_FAILED,
  Cancelled: operation.OperationState.OPERATION_STATE_CANCELLED,
} as const satisfies Record<OperationState, operation.OperationState>;

export const STEP_STATES = {
  Running: operation.StepState.STEP_STATE_RUNNING,
  Done: operation.StepState.STEP_STATE_DONE,
  Failed: operation.StepState.STEP_STATE_FAILED,
} as const satisfies Record<Operation['steps'][number]['state'], operation.StepState>;

/**
 * Our string for a value of the wire; undefined for the unspecified one and for none.
 * INVALID_INPUT naming `field` for a value that this version does not know.
 */
export function fromWire<K extends string>(
  table: Readonly<Record<K, string>>,
  value: string | undefined,
  field: string,
): K | undefined {
  if (value === undefined || value.endsWith('_UNSPECIFIED')) return undefined;
  const known = (Object.keys(table) as K[]).find((key) => table[key] === value);
  if (known === undefined)
    throw new InvalidInput([{ path: field, message: `must be one of ${Object.values(table).join(', ')}` }]);
  return known;
}
