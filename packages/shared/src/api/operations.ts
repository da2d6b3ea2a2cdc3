/** Operations: long work, watched by id. */
import { z } from 'zod';
import { backupIdSchema, hostIdSchema, operationIdSchema, vmIdSchema, vmSnapshotIdSchema } from '../ids/ids.js';
import { bytesSchema } from '../units/bytes.js';
import { errorDataSchema, pageQuerySchema, timeSchema } from './common.js';

export const operationKindSchema = z.enum([
  'TakeBackup',
  'RestoreBackup',
  'CleanupBackupError',
  'ReleaseFiles',
  'DeleteBackups',
  'CompactChain',
]);
export type OperationKind = z.infer<typeof operationKindSchema>;
export const operationStateSchema = z.enum(['Queued', 'Running', 'Undoing', 'Succeeded', 'Failed', 'Cancelled']);
export type OperationState = z.infer<typeof operationStateSchema>;

export const operationStepSchema = z.object({
  name: z.string(),
  subject: z.string().describe('Volume key or target; empty: the whole VM'),
  state: z.enum(['Running', 'Done', 'Failed']),
  startedAt: timeSchema,
  finishedAt: timeSchema.optional(),
});
export const volumeProgressSchema = z.object({
  key: z.string(),
  target: z.string(),
  phase: z.string(),
  doneBytes: bytesSchema,
  totalBytes: bytesSchema.optional().describe('Absent: not known'),
});
export const operationSchema = z.object({
  id: operationIdSchema,
  kind: operationKindSchema,
  state: operationStateSchema,
  vmId: vmIdSchema,
  hostId: hostIdSchema.optional(),
  backupId: backupIdSchema.optional(),
  vmSnapshotId: vmSnapshotIdSchema.optional(),
  revision: z.number().int().describe('Grows with every change'),
  steps: z.array(operationStepSchema),
  progress: z.array(volumeProgressSchema),
  error: errorDataSchema.optional(),
  warnings: z.array(z.string()),
  plan: z.array(z.string()).optional().describe('What is done, in words: of CleanupBackupError, and of what needed no host'),
  cancelRequested: z.boolean(),
  waitingFor: z.string().optional().describe('Why it is not running yet, or who does not answer'),
  createdAt: timeSchema,
  startedAt: timeSchema.optional(),
  finishedAt: timeSchema.optional(),
});
export type Operation = z.infer<typeof operationSchema>;
export const listOperationsSchema = pageQuerySchema.extend({
  vmId: vmIdSchema.optional(),
  hostId: hostIdSchema.optional(),
  state: operationStateSchema.optional(),
  kind: operationKindSchema.optional(),
});
export type ListOperations = z.infer<typeof listOperationsSchema>;
