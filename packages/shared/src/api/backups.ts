/** Backups and restores as the public API shows them. */
import { z } from 'zod';
import {
  accountIdSchema,
  backupIdSchema,
  hostIdSchema,
  operationIdSchema,
  scheduleIdSchema,
  storageIdSchema,
  vmIdSchema,
  volumeIdSchema,
} from '../ids/ids.js';
import { bytesSchema } from '../units/bytes.js';
import { descriptionSchema, errorDataSchema, flagSchema, nameSchema, pageQuerySchema, timeSchema } from './common.js';
import { operationSchema } from './operations.js';

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
  protected: z.boolean().describe('Never deleted by retention; refused to everybody until it is unprotected'),
  quiesce: quiesceSchema,
  quiesced: z
    .boolean()
    .optional()
    .describe('The guest confirmed that it was frozen until the snapshot was finished; false: crash-consistent'),
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

export const updateBackupSchema = z.object({
  name: nameSchema.optional(),
  description: descriptionSchema.optional(),
  protected: z.boolean().optional(),
});
export type UpdateBackup = z.infer<typeof updateBackupSchema>;

/** How one or many are deleted. */
export const deleteBackupSchema = z.object({
  forced: flagSchema.describe('What depends on it goes with it; otherwise it is only taken from sight while others need it'),
  dryRun: flagSchema.describe('Only the plan'),
});
export type DeleteBackup = z.infer<typeof deleteBackupSchema>;

export const deleteBackupsSchema = z
  .object({
    ids: z.array(backupIdSchema).min(1).max(1000).optional().describe('These'),
    vmId: vmIdSchema.optional().describe('Of this VM; with all'),
    all: z.literal(true).optional().describe('All of the VM'),
    forced: z.boolean().default(false),
    dryRun: z.boolean().default(false),
  })
  .refine(
    ({ ids, vmId, all }) =>
      (ids === undefined) === (vmId !== undefined && all === true) && (vmId === undefined) === (all === undefined),
    {
      path: ['ids'],
      message: 'give either ids, or vmId with all',
    },
  );
export type DeleteBackups = z.infer<typeof deleteBackupsSchema>;

const deletedBackupSchema = z.object({
  id: backupIdSchema,
  name: z.string(),
  storageId: storageIdSchema,
  sizeBytes: bytesSchema.optional(),
});

/** What deleting backups of one VM does, or would do. */
export const deletionPlanSchema = z.object({
  vmId: vmIdSchema,
  vmName: z.string(),
  removed: z.array(deletedBackupSchema).describe('Taken from sight; their files stay for the backups that need them'),
  expunged: z
    .array(deletedBackupSchema)
    .describe('Their files go, in this order; also what was removed earlier and nobody needs any more'),
  chainEnds: z.array(deletedBackupSchema).describe('Become the end of their chain'),
  mergesOnPrimary: z.boolean().describe('The open chain ends: its deltas on primary are merged first'),
  freedBytes: bytesSchema.describe('On storage, of those whose files go'),
  refusals: z.array(z.object({ backupId: backupIdSchema, error: errorDataSchema })).describe('With a refusal nothing is done'),
});
export type DeletionPlan = z.infer<typeof deletionPlanSchema>;

/** Answer to a deletion: the plan of each VM, and its operation unless it was a dry run. */
export const deletionSchema = z.object({ plans: z.array(deletionPlanSchema), operations: z.array(operationSchema) });
export type Deletion = z.infer<typeof deletionSchema>;

export const usageQuerySchema = z.object({ vmId: vmIdSchema.optional(), storageId: storageIdSchema.optional() });
export type UsageQuery = z.infer<typeof usageQuerySchema>;

/** What the backups of an account take on storages. */
export const usageSchema = z.object({
  accountId: accountIdSchema.optional().describe('Absent: VMs without an owner'),
  backups: z.number().int().describe('Those whose files exist'),
  sizeBytes: bytesSchema.describe('Of all files that exist, those of removed backups that others need included'),
  deletedBytes: bytesSchema.describe('The part of it that belongs to backups that were deleted and whose files are not gone yet'),
});
export type Usage = z.infer<typeof usageSchema>;
