/**
 * A published backup as it lies on storage: its manifest, and for each volume the chain of files below it. Owns what a chain
 * is, also in the middle of a compaction; digests are checked by whoever reads the data.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Manifest, ManifestVolume } from '@holdfast/shared/manifest/manifest.js';
import { DOMAIN_XML_FILE, backupFolder, parentVolumeFile, volumeFile } from '@holdfast/shared/manifest/paths.js';
import { askedAtOnce } from '../../process/asked-at-once.js';
import type { CommandPorts } from '../ports.js';
import { damaged, readManifest } from './read-manifest.js';

/** One file that a restore reads. */
export interface BackupFile {
  readonly backupId: string;
  readonly path: string;
  /** Undefined: its content is right, but it is just being merged, so there is no digest to compare it with. */
  readonly digest: string | undefined;
  /** As its manifest says; where there is no digest to compare, as it lies there. */
  readonly sizeBytes: bigint;
  /** As it lies on storage. */
  readonly foundBytes: bigint;
  /** What its header must name as its backing file, relative to its folder: the next file of the chain; undefined: nothing. */
  readonly parentFile: string | undefined;
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
  const keys = manifest.volumes.map(({ key }) => key);
  return { manifest, domainXml, files: await readChains(ports, root, vmUuid, backupId, keys) };
}

/** Volume key → its file in this backup first, then each parent's down to the full copy. BACKUP_DAMAGED names what is missing or wrong. */
export async function readChains(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, readonly BackupFile[]>> {
  const manifests = new Map<string, Promise<Manifest>>();
  const manifestOf = (id: string): Promise<Manifest> => {
    const read = manifests.get(id) ?? readManifest(ports, root, vmUuid, id).then(({ manifest }) => manifest);
    manifests.set(id, read);
    return read;
  };
  const chains = await askedAtOnce(keys.map((key) => readChain(ports, root, vmUuid, { ids: [backupId], key }, manifestOf)));
  return new Map(keys.map((key, index) => [key, chains[index] ?? []]));
}

/** The rest of a chain: `ids` are those from the backup down to the one whose file comes first. */
async function readChain(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  { ids, key }: { readonly ids: readonly [string, ...string[]]; readonly key: string },
  manifestOf: (id: string) => Promise<Manifest>,
): Promise<BackupFile[]> {
  const [backupId, id] = [ids[0], ids.at(-1) ?? ids[0]];
  const current = await manifestOf(id);
  const entry = current.volumes.find((candidate) => candidate.key === key);
  const path = join(root, backupFolder(vmUuid, id), volumeFile(key));
  if (entry === undefined) throw damaged(backupId, path, `is not in the manifest of backup ${id}`);
  demandOwnNames(backupId, path, current, entry);
  const merged = entry.parentFile === undefined ? undefined : await mergedBelow(ports, root, vmUuid, current, entry);
  const parentId = entry.parentFile === undefined || merged !== undefined ? undefined : current.parentBackupId;
  if (parentId !== undefined && ids.includes(parentId)) throw damaged(backupId, path, 'is its own ancestor');
  const [facts, below] = await askedAtOnce([
    ports.files.stat(path),
    parentId === undefined
      ? Promise.resolve<BackupFile[]>([])
      : readChain(ports, root, vmUuid, { ids: [...ids, parentId], key }, manifestOf),
  ]);
  if (facts?.kind !== 'file') throw damaged(backupId, path, 'is missing');
  const found = { backupId: id, path, foundBytes: facts.sizeBytes };
  if (merged !== undefined) {
    const parentFile = merged.length === 0 ? undefined : entry.parentFile;
    return [{ ...found, digest: undefined, sizeBytes: facts.sizeBytes, parentFile }, ...merged];
  }
  return [{ ...found, digest: entry.digest, sizeBytes: BigInt(entry.sizeBytes), parentFile: entry.parentFile }, ...below];
}

/** What is looked at is what qemu-img will open: a file has the name of its volume, and its parent is that of the parent backup. */
function demandOwnNames(
  backupId: string,
  path: string,
  { parentBackupId }: Manifest,
  { key, file, parentFile }: ManifestVolume,
): void {
  if (file !== volumeFile(key)) throw damaged(backupId, path, `is called ${file} in its manifest`);
  if (parentFile === undefined) return;
  if (parentBackupId === undefined || parentFile !== parentVolumeFile(parentBackupId, key))
    throw damaged(
      backupId,
      path,
      `has the parent ${parentFile} in its manifest, which is not that of backup ${parentBackupId ?? 'none'}`,
    );
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
  if (facts === undefined) return [];
  const { sizeBytes } = facts;
  return [{ backupId, path, digest: undefined, sizeBytes, foundBytes: sizeBytes, parentFile: undefined }];
}
