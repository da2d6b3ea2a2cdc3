/** Backup offerings: what a VM is entitled to. */
import { z } from 'zod';
import { offeringIdSchema } from '../ids/ids.js';
import { descriptionSchema, nameSchema, timeSchema } from './common.js';

export const offeringSchema = z.object({
  id: offeringIdSchema,
  name: z.string(),
  description: z.string(),
  chainSize: z.number().int().optional().describe('Backups in a chain; 1 all full; below 1 unlimited; absent: backup.chain.size'),
  createdAt: timeSchema,
});
export type Offering = z.infer<typeof offeringSchema>;
export const createOfferingSchema = z.object({
  name: nameSchema,
  description: descriptionSchema.default(''),
  chainSize: z.number().int().min(-1000).max(1000).optional(),
});
export type CreateOffering = z.infer<typeof createOfferingSchema>;
export const assignOfferingSchema = z.object({ offeringId: offeringIdSchema });
