/**
 * A published backup as it lies on storage: its manifest, and for each volume the chain of files below it. Owns reading
 * and checking manifests; digests are checked by whoever reads the data.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { DOMAIN_XML_FILE, MANIFEST_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

/** One file that a restore reads. */
export interface BackupFile {
  readonly backupId: string;
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: bigint;
}

export interface ReadBackup {
  readonly manifest: Manifest;
  readonly domainXml: string;
  /** Volume key → its file first, then each parent's down to the full copy. */
  readonly files: ReadonlyMap<string, readonly BackupFile[]>;
}

/** Reads the backup and all its ancestors. NOT_FOUND without a manifest; BACKUP_DAMAGED names what is missing or wrong. */
export async function readBackup(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
): Promise<ReadBackup> {
  const manifest = await readManifest(ports, root, vmUuid, backupId);
  const domainXml = await ports.files.readText(join(root, backupFolder(vmUuid, backupId), DOMAIN_XML_FILE));
  if (domainXml === undefined) throw damaged(backupId, join(root, backupFolder(vmUuid, backupId), DOMAIN_XML_FILE), 'is missing');
  const manifests = new Map([[backupId, manifest]]);
  const files = new Map<string, BackupFile[]>();
  for (const volume of manifest.volumes) {
    const chain: BackupFile[] = [];
    for (let at: string | undefined = backupId; at !== undefined;) {
      const id: string = at;
      const current = manifests.get(id) ?? (await readManifest(ports, root, vmUuid, id));
      manifests.set(id, current);
      const entry = current.volumes.find((candidate) => candidate.key === volume.key);
      const path = join(root, backupFolder(vmUuid, id), entry?.file ?? `${volume.key}.qcow2`);
      if (entry === undefined) throw damaged(backupId, path, `is not in the manifest of backup ${id}`);
      const facts = await ports.files.stat(path);
      if (facts?.kind !== 'file') throw damaged(backupId, path, 'is missing');
      if (chain.some((file) => file.backupId === id)) throw damaged(backupId, path, 'is its own ancestor');
      chain.push({ backupId: id, path, digest: entry.digest, sizeBytes: BigInt(entry.sizeBytes) });
      at = entry.parentFile === undefined ? undefined : current.parentBackupId;
      if (entry.parentFile !== undefined && at === undefined)
        throw damaged(backupId, path, 'names a parent that its manifest does not know');
    }
    files.set(volume.key, chain);
  }
  return { manifest, domainXml, files };
}

async function readManifest(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
): Promise<Manifest> {
  const path = join(root, backupFolder(vmUuid, backupId), MANIFEST_FILE);
  const text = await ports.files.readText(path);
  if (text === undefined) {
    throw new HoldfastError(
      'BACKUP_DAMAGED',
      `Backup ${backupId} has no manifest on its storage (${path}): it was deleted there, or never finished.`,
      { backupId, path },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw damaged(backupId, path, 'is not JSON');
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success)
    throw damaged(
      backupId,
      path,
      `does not fit its schema (${parsed.error.issues.map((issue) => issue.path.join('.')).join(', ')})`,
    );
  if (parsed.data.backupId !== backupId || parsed.data.vm.id !== vmUuid)
    throw damaged(backupId, path, 'belongs to another backup');
  return parsed.data;
}

function damaged(backupId: string, path: string, what: string): HoldfastError {
  return new HoldfastError(
    'BACKUP_DAMAGED',
    `Backup ${backupId} is damaged: ${path} ${what}. Restore another backup, or bring the file back.`,
    { backupId, path },
  );
}
