/**
 * What is there before a compaction, and whether it may begin. Owns the refusals; reads only. A compaction that an earlier
 * operation left in the middle is found here, and is finished instead of begun.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, backupFolder, parentVolumeFile, vmFolder, volumeFile } from '@holdfast/shared/manifest/paths.js';
import { formatBytes } from '@holdfast/shared/units/bytes.js';
import type { CommandPorts } from '../ports.js';
import type { CompactChainRequest } from '../requests.js';
import { demandBacking } from '../shared/demand-backing.js';
import { damaged, readManifest } from '../shared/read-manifest.js';

const SLACK_BYTES = 16n << 20n;
/** The first qemu-img that can limit a commit. */
const LIMIT_SINCE = [5, 2] as const;

/** A JSON value; bytes are decimal. */
export type CompactionPlan = {
  /** `unfinished`: the marks of an earlier operation are there. `done`: only the absorbed folder may be left. */
  readonly state: 'fresh' | 'unfinished' | 'done';
  /** Volumes that are to be merged. */
  readonly volumes: readonly { readonly key: string; readonly target: string; readonly file: string }[];
  /** Files whose digests must be right before anything is changed. */
  readonly verify: readonly {
    readonly whose: 'absorbed' | 'child';
    readonly backupId: string;
    readonly key: string;
    readonly path: string;
    readonly digest: string;
  }[];
  /** What both folders take on storage. */
  readonly allocatedBytes: string;
};

/**
 * WRONG_STATE when the two are not the oldest of a chain and its only child; BACKUP_DAMAGED, IMAGE_LOCKED (something reads or
 * writes them), STORAGE_FULL, VERSION_MISMATCH (a limit that this qemu-img does not know).
 */
export async function preflight(ports: CommandPorts, request: CompactChainRequest, root: string): Promise<CompactionPlan> {
  const { absorbedBackupId, childBackupId } = request;
  const { vmUuid } = request.header;
  const { manifest: child } = await readManifest(ports, root, vmUuid, childBackupId);
  const bytes = String(await allocatedBytes(ports, request, root));
  if (child.parentBackupId === undefined && child.compaction === undefined) {
    await demandLeftover(ports, request, root);
    return { state: 'done', volumes: [], verify: [], allocatedBytes: bytes };
  }
  const { manifest: absorbed } = await readManifest(ports, root, vmUuid, absorbedBackupId);
  demandPair(child, absorbed);
  await demandNoOtherChild(ports, request, root);
  await demandRateLimit(ports, request);
  const merged = child.volumes.filter(({ parentFile }) => parentFile !== undefined);
  const volumes = merged.map(({ key, device, file }) => ({ key, target: device, file }));
  if (absorbed.compaction !== undefined) return { state: 'unfinished', volumes, verify: [], allocatedBytes: bytes };
  const verify: CompactionPlan['verify'][number][] = [];
  for (const { key } of merged) {
    for (const manifest of [absorbed, child]) {
      const entry = manifest.volumes.find((volume) => volume.key === key);
      const path = join(root, backupFolder(vmUuid, manifest.backupId), entry?.file ?? `${key}.qcow2`);
      if (entry === undefined) throw damaged(childBackupId, path, `is not in the manifest of backup ${manifest.backupId}`);
      const whose = manifest === absorbed ? 'absorbed' : 'child';
      verify.push({ whose, backupId: manifest.backupId, key, path, digest: entry.digest });
      if (await ports.images.isLocked(path, 'qcow2')) {
        throw new HoldfastError('IMAGE_LOCKED', `${path} is being read or written, so its chain is not compacted now.`, { path });
      }
    }
    await demandHeaders(ports, request, root, key);
  }
  await demandSpace(ports, request, root, merged);
  return { state: 'fresh', volumes, verify, allocatedBytes: bytes };
}

/** What the files of both backups take on storage. */
export async function allocatedBytes(ports: CommandPorts, request: CompactChainRequest, root: string): Promise<bigint> {
  let sum = 0n;
  for (const backupId of [request.absorbedBackupId, request.childBackupId]) {
    const folder = join(root, backupFolder(request.header.vmUuid, backupId));
    for (const name of (await ports.files.list(folder)) ?? [])
      sum += (await ports.files.stat(join(folder, name)))?.allocatedBytes ?? 0n;
  }
  return sum;
}

/** A child that stands alone: the absorbed backup is gone, or is the rest of this very compaction. */
async function demandLeftover(ports: CommandPorts, request: CompactChainRequest, root: string): Promise<void> {
  const { absorbedBackupId, childBackupId } = request;
  const { vmUuid } = request.header;
  const manifest = join(root, backupFolder(vmUuid, absorbedBackupId), MANIFEST_FILE);
  if ((await ports.files.stat(manifest)) === undefined) return;
  const { manifest: absorbed } = await readManifest(ports, root, vmUuid, absorbedBackupId);
  if (absorbed.compaction?.role === 'absorbed' && absorbed.compaction.backupId === childBackupId) return;
  throw notAPair(childBackupId, `it is not based on backup ${absorbedBackupId}`);
}

function demandPair(child: Manifest, absorbed: Manifest): void {
  if (child.parentBackupId !== absorbed.backupId)
    throw notAPair(child.backupId, `it is not based on backup ${absorbed.backupId}`);
  const alone = absorbed.type === 'FULL' && absorbed.volumes.every(({ parentFile }) => parentFile === undefined);
  if (!alone) throw notAPair(child.backupId, `backup ${absorbed.backupId} is not the oldest of the chain`);
  const [down, up] = [child.compaction, absorbed.compaction];
  if (down?.role === 'absorbed') throw notAPair(child.backupId, `it is being merged into backup ${down.backupId}`);
  if (up === undefined) return;
  const sameWork = up.role === 'absorbed' && up.backupId === child.backupId && down?.backupId === absorbed.backupId;
  if (!sameWork) throw notAPair(child.backupId, `backup ${absorbed.backupId} is being merged with backup ${up.backupId}`);
}

async function demandNoOtherChild(ports: CommandPorts, request: CompactChainRequest, root: string): Promise<void> {
  const { absorbedBackupId, childBackupId } = request;
  const { vmUuid } = request.header;
  for (const id of (await ports.files.list(join(root, vmFolder(vmUuid)))) ?? []) {
    if (id === absorbedBackupId || id === childBackupId) continue;
    // A folder without a manifest is no backup; one whose parent cannot be read might need the files.
    if ((await ports.files.stat(join(root, backupFolder(vmUuid, id), MANIFEST_FILE))) === undefined) continue;
    const { manifest } = await readManifest(ports, root, vmUuid, id);
    if (manifest.parentBackupId === absorbedBackupId) {
      throw notAPair(childBackupId, `backup ${id} is based on backup ${absorbedBackupId} as well`);
    }
  }
}

async function demandHeaders(ports: CommandPorts, request: CompactChainRequest, root: string, key: string): Promise<void> {
  const { absorbedBackupId, childBackupId } = request;
  const at = (id: string): string => join(root, backupFolder(request.header.vmUuid, id), volumeFile(key));
  const parentFile = parentVolumeFile(absorbedBackupId, key);
  const above = await demandBacking(ports, { backupId: childBackupId, path: at(childBackupId), parentFile });
  const below = await demandBacking(ports, { backupId: absorbedBackupId, path: at(absorbedBackupId), parentFile: undefined });
  // A commit makes its base larger, never smaller.
  if (above.virtualSizeBytes < below.virtualSizeBytes) {
    throw notAPair(childBackupId, `volume ${key} was made smaller after backup ${absorbedBackupId}`);
  }
}

async function demandSpace(
  ports: CommandPorts,
  request: CompactChainRequest,
  root: string,
  merged: Manifest['volumes'],
): Promise<void> {
  // At worst nothing of the child lies over what the base holds already; compressed clusters are not counted on.
  const needed = merged.reduce((sum, { sizeBytes }) => sum + BigInt(sizeBytes), SLACK_BYTES);
  const { freeBytes } = await ports.files.space(root);
  if (freeBytes >= needed) return;
  throw new HoldfastError(
    'STORAGE_FULL',
    `Secondary storage "${request.storage.name}" has ${formatBytes(freeBytes)} free; merging may need ${formatBytes(needed)} for a while. Make room, then try again.`,
    { path: root, freeBytes: String(freeBytes), neededBytes: String(needed) },
  );
}

async function demandRateLimit(ports: CommandPorts, request: CompactChainRequest): Promise<void> {
  if (request.bytesPerSecond === undefined) return;
  const version = await ports.images.version();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > LIMIT_SINCE[0] || (major === LIMIT_SINCE[0] && minor >= LIMIT_SINCE[1])) return;
  throw new HoldfastError(
    'VERSION_MISMATCH',
    `qemu-img ${version} on ${ports.hostname} cannot limit a commit (5.2 and later can). Set backup.compaction.rate.limit to 0, or renew qemu-img.`,
    { tool: 'qemu-img', version },
  );
}

function notAPair(backupId: string, why: string): HoldfastError {
  return new HoldfastError('WRONG_STATE', `The chain of backup ${backupId} is not compacted: ${why}. Nothing was changed.`, {
    backupId,
  });
}
