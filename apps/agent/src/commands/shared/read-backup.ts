/**
 * A published backup as it lies on storage: its manifest, and for each volume the chain of files below it. Owns what a chain
 * is, also in the middle of a compaction; digests are checked by whoever reads the data.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Manifest, ManifestVolume } from '@holdfast/shared/manifest/manifest.js';
import { DOMAIN_XML_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';
import { damaged, readManifest } from './read-manifest.js';

/** One file that a restore reads. */
export interface BackupFile {
  readonly backupId: string;
  readonly path: string;
  /** Undefined: its content is right, but it is just being merged, so there is no digest to compare it with. */
  readonly digest: string | undefined;
  readonly sizeBytes: bigint;
}

export interface ReadBackup {
  readonly manifest: Manifest;
  readonly domainXml: string;
  /** Volume key → its file first, then each parent's down to the full copy. */
  readonly files: ReadonlyMap<string, readonly BackupFile[]>;
}

/**
 * Reads the backup and all its ancestors. BACKUP_DAMAGED names what is missing or wrong; WRONG_STATE for a backup that was
 * deleted and is being merged into its child.
 */
export async function readBackup(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
): Promise<ReadBackup> {
  const { manifest } = await readManifest(ports, root, vmUuid, backupId);
  if (manifest.compaction?.role === 'absorbed') {
    throw new HoldfastError(
      'WRONG_STATE',
      `Backup ${backupId} was deleted and is being merged into backup ${manifest.compaction.backupId}. Restore that one.`,
      { backupId },
    );
  }
  const domainXml = await ports.files.readText(join(root, backupFolder(vmUuid, backupId), DOMAIN_XML_FILE));
  if (domainXml === undefined) throw damaged(backupId, join(root, backupFolder(vmUuid, backupId), DOMAIN_XML_FILE), 'is missing');
  const manifests = new Map([[backupId, manifest]]);
  const files = new Map<string, BackupFile[]>();
  for (const volume of manifest.volumes) {
    const chain: BackupFile[] = [];
    for (let at: string | undefined = backupId; at !== undefined;) {
      const id: string = at;
      const current = manifests.get(id) ?? (await readManifest(ports, root, vmUuid, id)).manifest;
      manifests.set(id, current);
      const entry = current.volumes.find((candidate) => candidate.key === volume.key);
      const path = join(root, backupFolder(vmUuid, id), entry?.file ?? `${volume.key}.qcow2`);
      if (entry === undefined) throw damaged(backupId, path, `is not in the manifest of backup ${id}`);
      const below = entry.parentFile === undefined ? undefined : await mergedBelow(ports, root, vmUuid, current, entry);
      const facts = await ports.files.stat(path);
      if (facts?.kind !== 'file') throw damaged(backupId, path, 'is missing');
      if (chain.some((file) => file.backupId === id)) throw damaged(backupId, path, 'is its own ancestor');
      if (below !== undefined) {
        chain.push({ backupId: id, path, digest: undefined, sizeBytes: facts.sizeBytes }, ...below);
        break;
      }
      chain.push({ backupId: id, path, digest: entry.digest, sizeBytes: BigInt(entry.sizeBytes) });
      at = entry.parentFile === undefined ? undefined : current.parentBackupId;
      if (entry.parentFile !== undefined && at === undefined)
        throw damaged(backupId, path, 'names a parent that its manifest does not know');
    }
    files.set(volume.key, chain);
  }
  return { manifest, domainXml, files };
}

/**
 * The file of the absorbed backup below a volume of `child` whose merge has begun: it, or nothing when it has taken the
 * child's place already. Undefined when nothing of the two is being merged, so that both manifests are right.
 */
async function mergedBelow(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  child: Manifest,
  entry: ManifestVolume,
): Promise<BackupFile[] | undefined> {
  if (child.compaction?.role !== 'absorbs') return undefined;
  const { backupId } = child.compaction;
  const { manifest } = await readManifest(ports, root, vmUuid, backupId);
  if (manifest.compaction?.role !== 'absorbed') return undefined;
  const path = join(root, backupFolder(vmUuid, backupId), entry.file);
  const facts = await ports.files.stat(path);
  return facts === undefined ? [] : [{ backupId, path, digest: undefined, sizeBytes: facts.sizeBytes }];
}
