/** Secondary storages as the public API shows them. */
import { z } from 'zod';
import { storageIdSchema, zoneIdSchema } from '../ids/ids.js';
import { bytesSchema } from '../units/bytes.js';
import { errorDataSchema, nameSchema, pageQuerySchema, timeSchema } from './common.js';

export const storageTypeSchema = z.enum(['dir', 'nfs', 'nfs4', 'cifs', 'ceph', 'ext4', 'xfs', 'btrfs']);
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
  source: z.string().min(1).describe('dir: an absolute directory that exists on every host. Otherwise what mount(8) takes'),
  options: z.string().default(''),
  adopt: z.boolean().default(false).describe('The place already is a Holdfast storage: take it over with its identity'),
});
export type CreateStorage = z.infer<typeof createStorageSchema>;
export const updateStorageSchema = z.object({ name: nameSchema.optional(), readOnly: z.boolean().optional() });
export type UpdateStorage = z.infer<typeof updateStorageSchema>;
export const listStoragesSchema = pageQuerySchema.extend({ zoneId: zoneIdSchema.optional() });
export type ListStorages = z.infer<typeof listStoragesSchema>;
