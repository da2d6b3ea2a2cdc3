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
  'TakeVmSnapshot',
  'RevertVmSnapshot',
  'DeleteVmSnapshots',
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
/** One thing that a clean-up does or leaves. */
export const plannedChangeSchema = z.object({
  action: z
    .enum(['merge', 'delete', 'keep', 'gone', 'delete-if-unused', 'remove-unfinished'])
    .describe(
      'merge: path goes into `into`, then its file is deleted; delete: nothing needs path; keep: path stays; gone: path is away already; delete-if-unused: path is a leftover; remove-unfinished: files of a backup that was never published',
    ),
  target: z.string().optional().describe('Disk, e.g. vda'),
  path: z.string().optional(),
  into: z.string().optional(),
  because: z.string().optional().describe('Why it stays'),
  backupId: backupIdSchema.optional(),
});
export type PlannedChange = z.infer<typeof plannedChangeSchema>;

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
  planned: z.array(plannedChangeSchema).optional().describe('CleanupBackupError: the plan as data'),
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
