/** Disk-only snapshots of VMs as the public API shows them. */
import { z } from 'zod';
import { operationIdSchema, vmIdSchema, vmSnapshotIdSchema, volumeIdSchema } from '../ids/ids.js';
import { quiesceSchema } from './backups.js';
import { descriptionSchema, errorDataSchema, nameSchema, textSchema, timeSchema } from './common.js';

/**
 * `Removed`: deleted by its owner; its layer stays while branches need it, and goes by itself with the last of them.
 * `Failed`: it was never taken; only its reason is kept.
 */
export const vmSnapshotStateSchema = z.enum(['Creating', 'Ready', 'Deleting', 'Removed', 'Failed']);
export type VmSnapshotState = z.infer<typeof vmSnapshotStateSchema>;

export const vmSnapshotVolumeSchema = z.object({
  volumeId: volumeIdSchema.optional().describe('Absent: no volume of the VM is known under this target'),
  target: z.string().describe('libvirt target device'),
  path: z.string().describe('The layer that holds the content of the snapshot'),
});
export const vmSnapshotSchema = z.object({
  id: vmSnapshotIdSchema,
  vmId: vmIdSchema,
  name: z.string(),
  description: z.string(),
  origin: z.enum(['holdfast', 'libvirt']).describe('libvirt: made by virsh or another tool, and recorded by libvirt alone'),
  state: vmSnapshotStateSchema,
  parentId: vmSnapshotIdSchema.optional().describe('The snapshot that the VM stood on when it was taken'),
  current: z.boolean().describe('What the VM writes now lies on this snapshot'),
  leftToVirsh: z.boolean().describe('It holds memory or is kept inside an image: listed only'),
  quiesce: quiesceSchema.optional(),
  quiesced: z.boolean().optional().describe('The file systems of the guest were frozen'),
  frozenMs: z.number().int().optional().describe('How long guest file systems were frozen'),
  frozenAt: timeSchema.optional().describe('The moment whose content this is'),
  volumes: z.array(vmSnapshotVolumeSchema),
  operationId: operationIdSchema.optional().describe('The operation that takes or took it'),
  error: errorDataSchema.optional(),
  createdAt: timeSchema,
});
export type VmSnapshot = z.infer<typeof vmSnapshotSchema>;

export const createVmSnapshotSchema = z.object({
  name: nameSchema.optional().describe('Unique among the snapshots of the VM. Default: <vm name>-<time>'),
  description: descriptionSchema.default(''),
  quiesce: quiesceSchema.default('no'),
  volumes: z.array(textSchema(255).min(1)).min(1).optional().describe('Targets, e.g. ["vda"]. Default: all volumes'),
});
export type CreateVmSnapshot = z.infer<typeof createVmSnapshotSchema>;

export const listVmSnapshotsSchema = z.object({
  state: vmSnapshotStateSchema.optional().describe('Default: all but Removed'),
});
export type ListVmSnapshots = z.infer<typeof listVmSnapshotsSchema>;
