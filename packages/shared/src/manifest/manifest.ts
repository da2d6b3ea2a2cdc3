/**
 * manifest.json: the file that makes a backup exist on secondary storage. Owns its schema (version 1) and nothing that
 * reads or writes files. A field that is added later is optional; another meaning is another schemaVersion.
 */
import { z } from 'zod';
import { bytesSchema } from '../units/bytes.js';

export const MANIFEST_SCHEMA_VERSION = 1;

/** One volume of a backup. */
export const manifestVolumeSchema = z.object({
  key: z.uuid().describe('Volume id; also the file name without .qcow2'),
  device: z.string().describe('libvirt target device at the freeze, e.g. vda'),
  sizeBytes: bytesSchema.describe('Size of the file on storage'),
  virtualSizeBytes: bytesSchema,
  file: z.string().describe('File name inside the backup folder'),
  parentFile: z.string().optional().describe('Relative backing name, ../<parent backup id>/<key>.qcow2; absent for a full copy'),
  format: z.literal('qcow2'),
  sourceFormat: z.enum(['qcow2', 'raw']).describe('Format of the volume on primary'),
  digest: z
    .string()
    .regex(/^blake3:[0-9a-f]{64}$/)
    .describe('Of the whole file'),
});

/**
 * Two backups whose files are being merged; each manifest names the other backup. While both say so, sizes and digests of the
 * merged volumes are not to be trusted, in either manifest; what the absorbing backup and its descendants show is right.
 */
export const compactionSchema = z.object({
  role: z
    .enum(['absorbs', 'absorbed'])
    .describe('"absorbs": takes the files of its parent over; "absorbed": is no restore point any more'),
  backupId: z.uuid().describe('The other backup'),
  operationId: z.uuid(),
});
export type Compaction = z.infer<typeof compactionSchema>;

export const manifestSchema = z.object({
  schemaVersion: z.literal(MANIFEST_SCHEMA_VERSION),
  backupId: z.uuid(),
  backupName: z.string(),
  vm: z.object({ id: z.uuid(), name: z.string() }),
  storageId: z.uuid(),
  frozenAt: z.iso.datetime().describe('The moment whose content this is'),
  publishedAt: z.iso.datetime(),
  type: z.enum(['FULL', 'INCREMENTAL']),
  parentBackupId: z.uuid().optional(),
  endOfChain: z.boolean(),
  isolated: z.boolean(),
  quiesced: z.boolean().describe('Guest file systems were frozen by the guest agent'),
  volumes: z.array(manifestVolumeSchema).min(1),
  nvramFile: z.string().optional(),
  domainXmlFile: z.literal('domain.xml'),
  vmSettings: z.record(z.string(), z.string()),
  notes: z.record(z.string(), z.string()).describe('Free facts: why it is full, description, account'),
  compaction: compactionSchema.optional().describe('Only while an oldest backup is merged with its child'),
  writtenBy: z.object({ program: z.literal('holdfast-agent'), version: z.string(), host: z.string(), operationId: z.uuid() }),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestVolume = z.infer<typeof manifestVolumeSchema>;

/** holdfast.json at the root of a storage. */
export const storageIdentitySchema = z.object({
  product: z.literal('holdfast'),
  formatVersion: z.literal(1),
  storageId: z.uuid(),
  createdAt: z.iso.datetime(),
});
export type StorageIdentity = z.infer<typeof storageIdentitySchema>;
