/** Backups and restores as the public API shows them. */
import { z } from 'zod';
import {
  backupIdSchema,
  hostIdSchema,
  operationIdSchema,
  scheduleIdSchema,
  storageIdSchema,
  vmIdSchema,
  volumeIdSchema,
} from '../ids/ids.js';
import { bytesSchema } from '../units/bytes.js';
import { descriptionSchema, errorDataSchema, nameSchema, pageQuerySchema, timeSchema } from './common.js';

export const backupStateSchema = z.enum(['Queued', 'BackingUp', 'BackedUp', 'Failed', 'Removed', 'Expunged', 'DeleteFailed']);
export type BackupState = z.infer<typeof backupStateSchema>;
export const backupTypeSchema = z.enum(['FULL', 'INCREMENTAL']);
export const quiesceSchema = z.enum(['no', 'try', 'require']);

export const backupVolumeSchema = z.object({
  key: volumeIdSchema,
  target: z.string(),
  sizeBytes: bytesSchema.optional(),
  virtualSizeBytes: bytesSchema.optional(),
  file: z.string().describe('Relative to the storage root'),
  parentFile: z.string().optional(),
  digest: z.string().optional(),
  copiedInFull: z.boolean(),
  copiedInFullReason: z.string().optional().describe('Why an incremental backup holds this volume in full'),
});
export const backupSchema = z.object({
  id: backupIdSchema,
  vmId: vmIdSchema,
  vmName: z.string(),
  name: z.string(),
  description: z.string(),
  state: backupStateSchema,
  type: backupTypeSchema,
  fullReason: z.string().optional().describe('Why it is full'),
  isolated: z.boolean(),
  endOfChain: z.boolean(),
  quiesce: quiesceSchema,
  quiesced: z.boolean().optional(),
  frozenMs: z.number().int().optional().describe('How long guest file systems were frozen'),
  parentId: backupIdSchema.optional(),
  storageId: storageIdSchema,
  storageReason: z.string().describe('Why this storage was chosen'),
  frozenAt: timeSchema.optional().describe('The moment whose content this is'),
  sizeBytes: bytesSchema.optional().describe('On storage, of this backup alone'),
  volumes: z.array(backupVolumeSchema),
  operationId: operationIdSchema.optional(),
  scheduleId: scheduleIdSchema.optional().describe('The schedule that made it, which may be gone by now'),
  error: errorDataSchema.optional(),
  warnings: z.array(z.string()),
  createdAt: timeSchema,
  finishedAt: timeSchema.optional(),
});
export type Backup = z.infer<typeof backupSchema>;

export const createBackupSchema = z.object({
  name: nameSchema.optional().describe('Default: <vm name>-<time>'),
  description: descriptionSchema.default(''),
  isolated: z.boolean().default(false),
  quiesce: quiesceSchema.default('no'),
});
export type CreateBackup = z.infer<typeof createBackupSchema>;

export const listBackupsSchema = pageQuerySchema.extend({
  vmId: vmIdSchema.optional(),
  storageId: storageIdSchema.optional(),
  state: backupStateSchema.optional(),
});
export type ListBackups = z.infer<typeof listBackupsSchema>;

export const restoreBackupSchema = z.object({
  acceptDamaged: z.boolean().default(false).describe('Restore although a digest does not match'),
  dropSnapshots: z
    .boolean()
    .default(false)
    .describe('The VM has snapshots: let them go. Their files are kept with the former files of the VM, until released'),
  hostId: hostIdSchema.optional().describe('Where to define a VM that is gone; default: where it was'),
});
export type RestoreBackup = z.infer<typeof restoreBackupSchema>;

export const finishBackupChainSchema = z.object({ dryRun: z.boolean().default(false) });
export type FinishBackupChain = z.infer<typeof finishBackupChainSchema>;
