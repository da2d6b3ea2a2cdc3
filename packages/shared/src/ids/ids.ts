/**
 * Branded ids: a VM's id cannot be given where a backup's is wanted. Owns their form (UUID text), nothing else.
 */
import { z } from 'zod';

const uuid = z.uuid();

export const vmIdSchema = uuid.brand<'VmId'>();
export const hostIdSchema = uuid.brand<'HostId'>();
export const zoneIdSchema = uuid.brand<'ZoneId'>();
export const storageIdSchema = uuid.brand<'StorageId'>();
export const offeringIdSchema = uuid.brand<'OfferingId'>();
export const backupIdSchema = uuid.brand<'BackupId'>();
export const volumeIdSchema = uuid.brand<'VolumeId'>();
export const vmSnapshotIdSchema = uuid.brand<'VmSnapshotId'>();
export const operationIdSchema = uuid.brand<'OperationId'>();
export const accountIdSchema = uuid.brand<'AccountId'>();
export const apiKeyIdSchema = uuid.brand<'ApiKeyId'>();
export const scheduleIdSchema = uuid.brand<'ScheduleId'>();

/** A VM's id is its libvirt domain UUID. */
export type VmId = z.infer<typeof vmIdSchema>;
export type HostId = z.infer<typeof hostIdSchema>;
export type ZoneId = z.infer<typeof zoneIdSchema>;
export type StorageId = z.infer<typeof storageIdSchema>;
export type OfferingId = z.infer<typeof offeringIdSchema>;
export type BackupId = z.infer<typeof backupIdSchema>;
/** A volume's id is also its key: the name of its file in every backup. */
export type VolumeId = z.infer<typeof volumeIdSchema>;
export type VmSnapshotId = z.infer<typeof vmSnapshotIdSchema>;
export type OperationId = z.infer<typeof operationIdSchema>;
export type AccountId = z.infer<typeof accountIdSchema>;
export type ApiKeyId = z.infer<typeof apiKeyIdSchema>;
export type ScheduleId = z.infer<typeof scheduleIdSchema>;
