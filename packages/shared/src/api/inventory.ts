/** Zones, hosts, VMs and volumes as the public API shows them. */
import { z } from 'zod';
import {
  accountIdSchema,
  backupIdSchema,
  hostIdSchema,
  offeringIdSchema,
  volumeIdSchema,
  vmIdSchema,
  zoneIdSchema,
} from '../ids/ids.js';
import { bytesSchema } from '../units/bytes.js';
import { errorDataSchema, flagSchema, longTextSchema, nameSchema, pageQuerySchema, textSchema, timeSchema } from './common.js';

export const zoneSchema = z.object({ id: zoneIdSchema, name: z.string(), createdAt: timeSchema });
export type Zone = z.infer<typeof zoneSchema>;
export const createZoneSchema = z.object({ name: nameSchema });
export type CreateZone = z.infer<typeof createZoneSchema>;

export const hostStateSchema = z.enum(['Up', 'Down', 'Incompatible']);
export const hostSchema = z.object({
  id: hostIdSchema,
  zoneId: zoneIdSchema,
  name: z.string(),
  address: z.string().describe('host:port of the agent'),
  hostname: z.string().optional().describe('What the machine calls itself; nothing depends on it'),
  state: hostStateSchema,
  stateReason: z.string().optional().describe('Why it is not Up, and the way out'),
  enabled: z.boolean().describe('A disabled host gets no new work'),
  agentVersion: z.string().optional(),
  libvirtVersion: z.string().optional(),
  qemuVersion: z.string().optional(),
  primaryPools: z.array(z.object({ path: z.string(), totalBytes: bytesSchema, freeBytes: bytesSchema })),
  lastSeenAt: timeSchema.optional(),
  createdAt: timeSchema,
});
export type Host = z.infer<typeof hostSchema>;
export const updateHostSchema = z.object({
  name: nameSchema.optional(),
  enabled: z.boolean().optional(),
  address: textSchema(255).optional(),
});
export type UpdateHost = z.infer<typeof updateHostSchema>;
export const deleteHostSchema = z.object({
  lost: flagSchema.describe(
    'The machine is off for good and nothing on it will ever run again: its VMs count as gone, so that they can be restored elsewhere',
  ),
});
export type DeleteHost = z.infer<typeof deleteHostSchema>;
export const listHostsSchema = pageQuerySchema.extend({ zoneId: zoneIdSchema.optional() });
export type ListHosts = z.infer<typeof listHostsSchema>;

export const createJoinTokenSchema = z.object({
  zoneId: zoneIdSchema,
  validSeconds: z
    .number()
    .int()
    .min(1)
    .max(7 * 86400)
    .default(3600),
});
export type CreateJoinToken = z.infer<typeof createJoinTokenSchema>;
export const joinTokenSchema = z.object({
  token: z.string().describe('Shown once. hfj1.<secret>.<SHA-256 of the CA certificate>'),
  expiresAt: timeSchema,
});
export type JoinToken = z.infer<typeof joinTokenSchema>;

/** What an agent sends once to become a host of a zone. The token is the permission. */
export const joinHostSchema = z.object({
  token: z.string(),
  name: nameSchema.describe('Host name'),
  address: textSchema(255).describe('host:port where the manager reaches the agent'),
  certificateRequestPem: z.string(),
});
export type JoinHost = z.infer<typeof joinHostSchema>;
export const joinedHostSchema = z.object({ hostId: hostIdSchema, certificatePem: z.string(), caCertificatePem: z.string() });
export type JoinedHost = z.infer<typeof joinedHostSchema>;

export const vmPowerStateSchema = z.enum(['Running', 'Paused', 'Stopped', 'Other', 'Unknown', 'Gone']);
/** `BackupError`: the observed chain cannot be explained; the guest itself goes on. */
export const vmProtectionStateSchema = z.enum(['Ok', 'MergePending', 'BackupError']);
export const vmSchema = z.object({
  id: vmIdSchema,
  name: z.string(),
  zoneId: zoneIdSchema,
  hostId: hostIdSchema.optional().describe('Where it was last seen'),
  accountId: accountIdSchema.optional().describe('Owner; absent: administrators only'),
  powerState: vmPowerStateSchema,
  protectionState: vmProtectionStateSchema,
  protectionReason: errorDataSchema.optional(),
  offeringId: offeringIdSchema.optional(),
  headBackupId: backupIdSchema.optional().describe('Newest backup of the open chain'),
  guestAgent: z.boolean(),
  problems: z.array(errorDataSchema).describe('What makes work on this VM unsafe now, and the way out'),
  busyWith: z.uuid().optional().describe('Id of the operation that holds its lock'),
  lastBackupAt: timeSchema.optional(),
});
export type Vm = z.infer<typeof vmSchema>;
export const listVmsSchema = pageQuerySchema.extend({
  zoneId: zoneIdSchema.optional(),
  hostId: hostIdSchema.optional(),
  name: textSchema(255).optional(),
});
export type ListVms = z.infer<typeof listVmsSchema>;
export const updateVmSchema = z.object({
  accountId: accountIdSchema.nullable().optional(),
  settings: z.record(textSchema(255), longTextSchema).optional(),
});
export type UpdateVm = z.infer<typeof updateVmSchema>;

export const layerSchema = z.object({
  path: z.string(),
  format: z.string(),
  allocatedBytes: bytesSchema,
  backupDelta: z.boolean().describe('A delta of ours'),
});
export const volumeSchema = z.object({
  id: volumeIdSchema,
  vmId: vmIdSchema,
  target: z.string().describe('libvirt target device'),
  attached: z.boolean(),
  virtualSizeBytes: bytesSchema,
  layers: z.array(layerSchema).describe('From the active layer down'),
  refusal: errorDataSchema.optional().describe('Why it cannot be backed up'),
});
export type Volume = z.infer<typeof volumeSchema>;

/** Files that a restore, or a volume that is elsewhere now, left behind, until released. */
export const supersededFileSchema = z.object({
  id: z.uuid(),
  vmId: vmIdSchema,
  volumeId: volumeIdSchema,
  hostId: hostIdSchema,
  path: z.string(),
  operationId: z.uuid(),
  byNameOnly: z
    .boolean()
    .describe('The former layer of a volume whose disk is another file now: released only when it is named, never with all'),
  supersededAt: timeSchema,
});
export type SupersededFile = z.infer<typeof supersededFileSchema>;
