/**
 * Requests from the wire to our own types, each field checked. Owns that direction, and nothing else reads wire requests.
 * Everything that is wrong is INVALID_INPUT with the name of the field.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type * as wire from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { BackupType, Quiesce, type OperationHeader } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Storage } from '@holdfast/shared/wire/generated/holdfast/agent/v1/storage.js';
import { z } from 'zod';
import type {
  CleanupBackupErrorRequest,
  DeleteBackupsRequest,
  DeleteVmSnapshotsRequest,
  CompactChainRequest,
  ReleaseFilesRequest,
  RestoreBackupRequest,
  RevertVmSnapshotRequest,
  TakeBackupRequest,
  TakeVmSnapshotRequest,
} from '../commands/requests.js';
import type { StorageSpec } from '../secondary/storage-spec.js';

const id = z.uuid();
// libvirt takes any hex digits for the UUID of a domain.
export const vmUuid = z.guid();
export const path = z.string().regex(/^\/[^\0\n]*$/, 'must be an absolute path without NUL and line ends');
const target = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be a target device such as vda');
const text = z.string().regex(/^[^\0]*$/, 'must not contain NUL');
const plain = z.string().regex(/^[^\0\n]*$/, 'must not contain NUL and line ends');
const texts = z.record(text, text);

const header = z.object({
  operationId: id,
  vmUuid,
  vmName: text,
  fencingToken: z.bigint().nonnegative(),
  timeoutSeconds: z.int().nonnegative(),
});
const storage = z
  .object({
    id,
    name: text,
    type: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be "dir" or a file system type'),
    source: plain.min(1, 'must not be empty'),
    options: plain,
  })
  .refine((value) => value.type !== 'dir' || value.source.startsWith('/'), {
    path: ['source'],
    message: 'must be an absolute path for type "dir"',
  });
const pins = z.array(z.object({ snapshotId: text.min(1, 'must not be empty'), path }));
const quiesce = z.enum(['no', 'try', 'require'], 'must be NO, TRY or REQUIRE');
const mergeVolume = z.object({ target, deltaPaths: z.array(path), pins, templatePath: path.optional() });

const takeBackup = z
  .object({
    header,
    storage,
    backupId: id,
    backupName: text,
    type: z.enum(['FULL', 'INCREMENTAL'], 'must be FULL or INCREMENTAL'),
    parentBackupId: id.optional(),
    isolated: z.boolean(),
    endOfChain: z.boolean(),
    quiesce,
    freezeBudgetMs: z.int().nonnegative(),
    volumes: z
      .array(
        z
          .object({
            key: id,
            target,
            activePath: path,
            newDeltaPath: path,
            parentDeltaPath: path.optional(),
            parentDeltaInode: z.bigint().positive().optional(),
            mergeDeltaPaths: z.array(path),
            templatePath: path.optional(),
            pins,
          })
          .refine((volume) => (volume.parentDeltaPath === undefined) === (volume.parentDeltaInode === undefined), {
            path: ['parentDeltaInode'],
            message: 'belongs to parentDeltaPath: give both or none',
          }),
      )
      .min(1, 'must name every disk of the VM'),
    coroutines: z.int().min(1).max(16),
    notes: texts,
    vmSettings: texts,
  })
  .refine((value) => value.type !== 'INCREMENTAL' || value.parentBackupId !== undefined, {
    path: ['parentBackupId'],
    message: 'must be given for an incremental backup',
  })
  .superRefine((value, context) => refuseTwice(value.volumes, context));

const restoreBackup = z
  .object({
    header,
    storage,
    backupId: id,
    volumes: z
      .array(z.object({ key: id, target, currentPath: path.optional(), newPath: path, templatePath: path.optional() }))
      .min(1, 'must name what is to be restored'),
    mergeVolumes: z.array(mergeVolume),
    coroutines: z.int().min(1).max(16),
    defineMissingAs: plain.optional(),
    acceptDamaged: z.boolean(),
  })
  .superRefine((value, context) => refuseTwice(value.volumes, context));

const cleanupBackupError = z.object({
  header,
  volumes: z.array(mergeVolume),
  storage: storage.optional(),
  unpublishedBackupIds: z.array(id),
  unusedDeltaPaths: z.array(path),
  dryRun: z.boolean(),
  thaw: z.boolean(),
});

const releaseFiles = z.object({ header, paths: z.array(path).min(1, 'must name what is to be released') });

const takeVmSnapshot = z
  .object({
    header,
    volumes: z.array(z.object({ key: id, target, activePath: path, newOverlayPath: path })).min(1, 'must name a disk of the VM'),
    quiesce,
    freezeBudgetMs: z.int().nonnegative(),
  })
  .superRefine((value, context) => refuseTwice(value.volumes, context));

const revertVmSnapshot = z
  .object({
    header,
    volumes: z
      .array(
        z
          .object({ key: id, target, currentPath: path, pinnedPath: path, newOverlayPath: path, settle: mergeVolume })
          .refine((volume) => volume.settle.target === volume.target, {
            path: ['settle', 'target'],
            message: 'must be the target of the volume',
          }),
      )
      .min(1, 'must name a disk of the VM'),
  })
  .superRefine((value, context) => refuseTwice(value.volumes, context));

const deleteVmSnapshots = z.object({
  header,
  volumes: z.array(mergeVolume),
  libvirtSnapshotNames: z.array(plain.min(1, 'must not be empty')),
});

const compactChain = z
  .object({
    header,
    storage,
    absorbedBackupId: id,
    childBackupId: id,
    bytesPerSecond: z.bigint().positive().optional(),
  })
  .refine((value) => value.absorbedBackupId !== value.childBackupId, {
    path: ['childBackupId'],
    message: 'must be another backup than absorbedBackupId',
  });

const deleteBackups = z.object({
  header,
  deletions: z.array(z.object({ storage, backupIds: z.array(id).min(1, 'must name what is to be deleted') })),
  volumes: z.array(mergeVolume),
});

export function takeBackupRequest(request: wire.TakeBackupRequest): TakeBackupRequest {
  return check(takeBackup, {
    ...request,
    header: headerOf(request.header),
    type: TYPES[request.type],
    parentBackupId: optional(request.parentBackupId),
    quiesce: QUIESCE[request.quiesce],
    volumes: request.volumes.map((volume) => ({
      ...volume,
      parentDeltaPath: optional(volume.parentDeltaPath),
      parentDeltaInode: volume.parentDeltaInode === 0n ? undefined : volume.parentDeltaInode,
      templatePath: optional(volume.templatePath),
    })),
    coroutines: request.coroutines || 1,
    notes: request.manifestNotes,
  });
}

export function restoreBackupRequest(request: wire.RestoreBackupRequest): RestoreBackupRequest {
  return check(restoreBackup, {
    ...request,
    header: headerOf(request.header),
    volumes: request.volumes.map((volume) => ({
      ...volume,
      currentPath: optional(volume.currentPath),
      templatePath: optional(volume.templatePath),
    })),
    mergeVolumes: request.mergeVolumes.map(mergeVolumeOf),
    coroutines: request.coroutines || 1,
    defineMissingAs: optional(request.defineMissingAs),
  });
}

export function cleanupBackupErrorRequest(request: wire.CleanupBackupErrorRequest): CleanupBackupErrorRequest {
  return check(cleanupBackupError, {
    ...request,
    header: headerOf(request.header),
    volumes: request.volumes.map(mergeVolumeOf),
  });
}

export function releaseFilesRequest(request: wire.ReleaseFilesRequest): ReleaseFilesRequest {
  return check(releaseFiles, { ...request, header: headerOf(request.header) });
}

export function takeVmSnapshotRequest(request: wire.TakeVmSnapshotRequest): TakeVmSnapshotRequest {
  return check(takeVmSnapshot, { ...request, header: headerOf(request.header), quiesce: QUIESCE[request.quiesce] });
}

export function revertVmSnapshotRequest(request: wire.RevertVmSnapshotRequest): RevertVmSnapshotRequest {
  const volumes = request.volumes.map((volume) => ({ ...volume, settle: volume.settle && mergeVolumeOf(volume.settle) }));
  return check(revertVmSnapshot, { ...request, header: headerOf(request.header), volumes });
}

export function deleteVmSnapshotsRequest(request: wire.DeleteVmSnapshotsRequest): DeleteVmSnapshotsRequest {
  return check(deleteVmSnapshots, {
    ...request,
    header: headerOf(request.header),
    volumes: request.volumes.map(mergeVolumeOf),
  });
}

export function compactChainRequest(request: wire.CompactChainRequest): CompactChainRequest {
  return check(compactChain, {
    ...request,
    header: headerOf(request.header),
    bytesPerSecond: request.bytesPerSecond === 0n ? undefined : request.bytesPerSecond,
  });
}

export function deleteBackupsRequest(request: wire.DeleteBackupsRequest): DeleteBackupsRequest {
  return check(deleteBackups, { ...request, header: headerOf(request.header), volumes: request.volumes.map(mergeVolumeOf) });
}

export function storageSpec(value: Storage | undefined): StorageSpec {
  return check(z.object({ storage }), { storage: value }).storage;
}

export function operationId(value: string): string {
  return check(z.object({ operationId: id }), { operationId: value.toLowerCase() }).operationId;
}

export function vmUuids(values: readonly string[]): string[] {
  return check(z.object({ uuids: z.array(vmUuid) }), { uuids: values.map((value) => value.toLowerCase()) }).uuids;
}

const TYPES: Record<BackupType, 'FULL' | 'INCREMENTAL' | undefined> = {
  [BackupType.BACKUP_TYPE_FULL]: 'FULL',
  [BackupType.BACKUP_TYPE_INCREMENTAL]: 'INCREMENTAL',
  [BackupType.BACKUP_TYPE_UNSPECIFIED]: undefined,
  [BackupType.UNRECOGNIZED]: undefined,
};

const QUIESCE: Record<Quiesce, 'no' | 'try' | 'require' | undefined> = {
  [Quiesce.QUIESCE_NO]: 'no',
  [Quiesce.QUIESCE_TRY]: 'try',
  [Quiesce.QUIESCE_REQUIRE]: 'require',
  [Quiesce.QUIESCE_UNSPECIFIED]: undefined,
  [Quiesce.UNRECOGNIZED]: undefined,
};

/** Operation id and VM are compared as text: one form of them. */
function headerOf(value: OperationHeader | undefined): OperationHeader | undefined {
  return value && { ...value, operationId: value.operationId.toLowerCase(), vmUuid: value.vmUuid.toLowerCase() };
}

function mergeVolumeOf(volume: wire.MergeVolume) {
  return { ...volume, templatePath: optional(volume.templatePath) };
}

/** On the wire an absent text is empty. */
function optional(value: string): string | undefined {
  return value === '' ? undefined : value;
}

function refuseTwice(volumes: readonly { key: string; target: string }[], context: z.RefinementCtx): void {
  for (const field of ['key', 'target'] as const) {
    volumes.forEach((volume, index) => {
      if (volumes.findIndex((other) => other[field] === volume[field]) === index) return;
      context.addIssue({ code: 'custom', path: ['volumes', index, field], message: 'is given twice' });
    });
  }
}

/** INVALID_INPUT with the name of the field that is wrong. */
export function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  throw new HoldfastError('INVALID_INPUT', `The request is wrong at "${field}": ${issue?.message}.`, { field });
}
