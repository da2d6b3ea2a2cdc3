/**
 * Removing what a survey found and its owner wants gone. Owns the last look before each removal: nothing that a manifest, a
 * chain, a definition, another image, a lock or an operation of this host needs is ever deleted.
 *
 * No operation and no journal: every removal is of something that nothing needs, so a death in between leaves less of it,
 * and asking again goes on. Order in a folder: the manifest first (from then on it is no backup), folder synced, files, folder.
 */
import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { primaryFileKind } from '@holdfast/shared/chain/layer-names.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, manifestFiles, vmFolder } from '@holdfast/shared/manifest/paths.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { ImageTool } from '../images/image-tool.js';
import type { StorageLeases } from '../secondary/storage-leases.js';
import type { StorageSpec } from '../secondary/storage-spec.js';
import type { TargetFiles } from '../secondary/target-files.js';

/** A file, or the whole folder of a backup, relative to the root of a storage. */
export interface StrayPath {
  readonly path: string;
  readonly folder: boolean;
  /** Its manifest is that of a backup which its user has deleted. */
  readonly deletedBackup: boolean;
}

/** A file on primary, as it was surveyed. */
export interface StrayLayer {
  readonly path: string;
  readonly inode: bigint;
}

export interface RemovedStray {
  readonly path: string;
  readonly freedBytes: bigint;
  /** Why it stays; undefined: it is gone. */
  readonly kept: HoldfastError | undefined;
}

export interface StrayPorts {
  readonly files: TargetFiles;
  readonly images: Pick<ImageTool, 'info' | 'isLocked'>;
  readonly storages: Pick<StorageLeases, 'acquire' | 'release'>;
  readonly hypervisor: Pick<Hypervisor, 'pathsInUseByOthers'>;
  /** VMs with unfinished operations on this host, asked right before each removal. */
  readonly busyVms: () => ReadonlySet<string>;
  /** True while an unfinished operation on this host makes files on primary that no VM uses yet: a restore, a revert. */
  readonly makesPrimaryFiles: () => boolean;
}

const IN_BACKUPS = /^backups\/([0-9a-f-]{36})\/([0-9a-f-]{36})(?:\/([^/\0\n]+))?$/;
/** No domain has it: every domain is another one. */
const NO_VM = '00000000-0000-0000-0000-000000000000';

/** Removes strays of one storage. Each is judged alone; errors that concern the whole storage are thrown. */
export async function removeFromStorage(
  ports: StrayPorts,
  storage: StorageSpec,
  strays: readonly StrayPath[],
): Promise<RemovedStray[]> {
  const visitor = randomUUID();
  const { root } = await ports.storages.acquire(storage, visitor, 'write');
  try {
    const removed: RemovedStray[] = [];
    for (const stray of strays) removed.push(await judged(stray.path, () => removeStray(ports, root, stray)));
    return removed;
  } finally {
    await ports.storages.release(storage.id, visitor);
  }
}

/** Removes files of ours on primary that no operation, no VM of this host and no other image in their folder needs. */
export async function removeLayers(ports: StrayPorts, layers: readonly StrayLayer[]): Promise<RemovedStray[]> {
  const removed: RemovedStray[] = [];
  for (const layer of layers) removed.push(await judged(layer.path, () => removeLayer(ports, layer)));
  return removed;
}

async function judged(path: string, remove: () => Promise<bigint>): Promise<RemovedStray> {
  try {
    return { path, freedBytes: await remove(), kept: undefined };
  } catch (thrown) {
    return { path, freedBytes: 0n, kept: HoldfastError.from(thrown) };
  }
}

async function removeStray(ports: StrayPorts, root: string, stray: StrayPath): Promise<bigint> {
  const [, vmUuid = '', backupId = '', name] = IN_BACKUPS.exec(stray.path) ?? [];
  if (vmUuid === '' || stray.folder !== (name === undefined) || name === '.' || name === '..') {
    throw new HoldfastError('INVALID_INPUT', `${stray.path} is no ${stray.folder ? 'folder' : 'file'} of a backup.`, {
      path: stray.path,
    });
  }
  if (ports.busyVms().has(vmUuid)) {
    throw new HoldfastError('VM_BUSY', `An operation is working on VM ${vmUuid}; ${stray.path} stays until it has ended.`, {
      vmUuid,
      path: stray.path,
    });
  }
  const path = join(root, stray.path);
  if ((await ports.files.stat(path)) === undefined) return 0n;
  const manifests = await manifestsOf(ports, root, vmUuid);
  for (const [id, manifest] of manifests) {
    if (id === backupId) continue;
    const asParent = manifest.volumes.flatMap((volume) => volume.parentFile ?? []);
    const needed = stray.folder
      ? manifest.parentBackupId === backupId || asParent.some((file) => file.startsWith(`../${backupId}/`))
      : asParent.includes(`../${backupId}/${name}`);
    if (needed) throw inUse(stray.path, `backup ${manifest.backupName} (${id}) needs it`);
  }
  const own = manifests.get(backupId);
  if (stray.folder) {
    if (own !== undefined && !stray.deletedBackup) throw inUse(stray.path, 'it has a manifest, so it is a backup');
    return removeFolder(ports, path);
  }
  if (own !== undefined && manifestFiles(own).includes(name ?? '')) throw inUse(stray.path, 'its manifest names it');
  return removeFile(ports, path);
}

/** Folder name → manifest, of one VM. One that cannot be read may need anything: nothing is removed beside it. */
async function manifestsOf(ports: StrayPorts, root: string, vmUuid: string): Promise<Map<string, Manifest>> {
  const found = new Map<string, Manifest>();
  const folder = join(root, vmFolder(vmUuid));
  for (const name of (await ports.files.list(folder)) ?? []) {
    const file = join(folder, name, MANIFEST_FILE);
    const text = await ports.files.readText(file);
    if (text === undefined) continue;
    const manifest = parseManifest(text);
    if (manifest === undefined)
      throw new HoldfastError(
        'WRONG_STATE',
        `${file} is no manifest of this version, so what that backup needs is unknown; nothing of the VM is removed before it is put right.`,
        { path: file },
      );
    found.set(name, manifest);
  }
  return found;
}

function parseManifest(text: string): Manifest | undefined {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function removeFolder(ports: StrayPorts, folder: string): Promise<bigint> {
  const entries = (await ports.files.tree(folder)) ?? [];
  if (entries.some((entry) => entry.kind === 'directory'))
    throw inUse(folder, 'it holds a directory, which Holdfast never makes');
  let freed = 0n;
  if (entries.some((entry) => entry.path === MANIFEST_FILE)) {
    freed += await removeFile(ports, join(folder, MANIFEST_FILE));
    await ports.files.sync(folder);
  }
  for (const { path } of entries) if (path !== MANIFEST_FILE) freed += await removeFile(ports, join(folder, path));
  await ports.files.removeDirectory(folder);
  if ((await ports.files.list(dirname(folder)))?.length === 0) await ports.files.removeDirectory(dirname(folder));
  return freed;
}

async function removeFile(ports: StrayPorts, path: string): Promise<bigint> {
  const facts = await ports.files.stat(path);
  if (facts === undefined) return 0n;
  if (path.includes('.qcow2') && (await ports.images.isLocked(path, 'qcow2'))) throw locked(path);
  await ports.files.remove(path);
  return facts.allocatedBytes;
}

async function removeLayer(ports: StrayPorts, { path, inode }: StrayLayer): Promise<bigint> {
  const kind = primaryFileKind(path);
  if (kind === undefined)
    throw new HoldfastError('INVALID_INPUT', `${path} has no name that Holdfast gives to a file on primary storage.`, { path });
  if (kind !== 'layer' && ports.makesPrimaryFiles())
    throw new HoldfastError('VM_BUSY', `A restore or revert is working on this host; ${path} stays until it has ended.`, {
      path,
    });
  const facts = await ports.files.stat(path);
  if (facts === undefined) return 0n;
  if (facts.inode !== inode) {
    throw new HoldfastError('PLAN_OUTDATED', `${path} is another file than the one that was found. Check again.`, { path });
  }
  if ((await ports.hypervisor.pathsInUseByOthers(NO_VM)).has(path)) throw inUse(path, 'it is in the chain of a VM');
  const folder = dirname(path);
  for (const name of (await ports.files.list(folder)) ?? []) {
    if (name === basename(path) || !name.endsWith('.qcow2')) continue;
    const other = join(folder, name);
    const info = await ports.images.info(other, 'qcow2').catch((thrown: unknown) => {
      // A file that only has such a name lies on nothing.
      if (HoldfastError.from(thrown).code === 'TOOL_FAILED') return undefined;
      throw thrown;
    });
    // By the name alone: the same folder may be written in many ways.
    if (info?.backingPath !== undefined && basename(info.backingPath) === basename(path))
      throw inUse(path, `${other} lies on it; remove that first`);
  }
  if (await ports.images.isLocked(path, 'qcow2')) throw locked(path);
  await ports.files.remove(path);
  return facts.allocatedBytes;
}

function inUse(path: string, why: string): HoldfastError {
  return new HoldfastError('FILE_IN_USE', `${path} stays: ${why}.`, { path });
}

function locked(path: string): HoldfastError {
  return new HoldfastError('IMAGE_LOCKED', `${path} stays: a running process has it open.`, { path });
}
