/** Secondary storages as the public API shows them. */
import { z } from 'zod';
import { backupIdSchema, hostIdSchema, storageIdSchema, vmIdSchema, zoneIdSchema } from '../ids/ids.js';
import { bytesSchema } from '../units/bytes.js';
import { errorDataSchema, longTextSchema, nameSchema, pageQuerySchema, timeSchema } from './common.js';

export const storageTypeSchema = z.enum(['dir', 'nfs', 'nfs4', 'cifs', 'ceph', 'ext4', 'xfs', 'btrfs']);
/** What mount(8), or the path of a directory, is made of: any characters that one line can hold. */
const mountTextSchema = longTextSchema.regex(/^[^\n]*$/, 'it must not contain a line end; mount(8) takes one line');

export const storageSchema = z.object({
  id: storageIdSchema,
  zoneId: zoneIdSchema,
  name: z.string(),
  type: storageTypeSchema,
  source: z.string(),
  options: z.string().describe('mount -o; values of secret options (password=, secret=) are never shown'),
  readOnly: z.boolean().describe('No new backups are put here; restores go on'),
  totalBytes: bytesSchema.optional(),
  freeBytes: bytesSchema.optional(),
  problem: errorDataSchema.optional().describe('Why it cannot be used now'),
  checkedAt: timeSchema.optional(),
  createdAt: timeSchema,
});
export type Storage = z.infer<typeof storageSchema>;
export const createStorageSchema = z.object({
  zoneId: zoneIdSchema,
  name: nameSchema,
  type: storageTypeSchema,
  source: mountTextSchema.min(1).describe('dir: an absolute directory that exists on every host. Otherwise what mount(8) takes'),
  options: mountTextSchema.default(''),
  adopt: z.boolean().default(false).describe('The place already is a Holdfast storage: take it over with its identity'),
});
export type CreateStorage = z.infer<typeof createStorageSchema>;
export const updateStorageSchema = z.object({ name: nameSchema.optional(), readOnly: z.boolean().optional() });
export type UpdateStorage = z.infer<typeof updateStorageSchema>;
export const listStoragesSchema = pageQuerySchema.extend({ zoneId: zoneIdSchema.optional() });
export type ListStorages = z.infer<typeof listStoragesSchema>;

export const storageFindingKindSchema = z.enum([
  'FolderWithoutManifest',
  'PartialFile',
  'StrayFile',
  'DeletedBackup',
  'OrphanLayer',
  'OrphanVolume',
  'ForeignEntry',
  'UnknownBackup',
  'RecordDiffers',
  'UnreadableManifest',
  'MissingFile',
  'SizeDiffers',
  'UnreadableFile',
  'BrokenParent',
  'UntrackedLayer',
]);
export type StorageFindingKind = z.infer<typeof storageFindingKindSchema>;
export const storageFindingSchema = z.object({
  id: z.string().describe('Stays the same from check to check'),
  kind: storageFindingKindSchema,
  path: z.string().describe('Relative to the root of the storage; of a file on primary storage, absolute on the host'),
  hostId: hostIdSchema.optional().describe('Set for a file on primary storage'),
  allocatedBytes: bytesSchema.describe('What is there: what a removal would free'),
  message: z.string().describe('What was found, and the way out'),
  removable: z.boolean().describe('Nothing needs it: "clean" removes it when it is named'),
  vmId: vmIdSchema.optional(),
  backupId: backupIdSchema.optional(),
});
export type StorageFinding = z.infer<typeof storageFindingSchema>;
export const storageCheckSchema = z.object({
  storageId: storageIdSchema,
  checkedAt: timeSchema,
  files: z.number().int().describe('Files below backups/ of the storage'),
  allocatedBytes: bytesSchema,
  findings: z.array(storageFindingSchema),
  notChecked: z.array(z.string()).describe('What could not be judged now, a sentence each'),
});
export type StorageCheck = z.infer<typeof storageCheckSchema>;
export const checkStorageSchema = z.object({});
export const scanStorageSchema = z.object({
  dryRun: z.boolean().default(false).describe('Says what it would do; writes nothing'),
});
export type ScanStorage = z.infer<typeof scanStorageSchema>;
export const scannedBackupSchema = z.object({
  backupId: backupIdSchema,
  backupName: z.string(),
  vmId: vmIdSchema,
  vmName: z.string(),
  frozenAt: timeSchema.optional(),
  message: z.string().describe('What was done, or why nothing was'),
});
export type ScannedBackup = z.infer<typeof scannedBackupSchema>;
export const storageScanSchema = z.object({
  storageId: storageIdSchema,
  scannedAt: timeSchema,
  dryRun: z.boolean().describe('True: nothing was written'),
  takenUp: z.array(scannedBackupSchema).describe('Whole on the storage, and unknown until now'),
  corrected: z
    .array(scannedBackupSchema)
    .describe('Records that were set to what the manifest says, or whose backup was absorbed by its child'),
  newVms: z
    .array(z.object({ vmId: vmIdSchema, vmName: z.string() }))
    .describe('VMs that the database did not know: recorded as gone'),
  left: z.array(scannedBackupSchema).describe('Backups that stay unknown, and recorded ones that stay contradicted'),
  warnings: z.array(z.string()).describe('What was not as simple as that, a sentence each'),
  notChecked: z.array(z.string()).describe('What could not be judged now, a sentence each'),
});
export type StorageScan = z.infer<typeof storageScanSchema>;
export const cleanStorageSchema = z.object({
  findings: z.array(z.string().min(1)).min(1, 'name at least one finding of a check').describe('Ids of findings'),
});
export type CleanStorage = z.infer<typeof cleanStorageSchema>;
export const storageCleaningSchema = z.object({
  cleaned: z.array(
    z.object({
      id: z.string(),
      path: z.string(),
      freedBytes: bytesSchema,
      kept: errorDataSchema.optional().describe('Why it stays; absent: it is gone'),
    }),
  ),
  freedBytes: bytesSchema,
});
export type StorageCleaning = z.infer<typeof storageCleaningSchema>;
