/**
 * What lies on a storage and in the primary pools, whoever put it there. Owns the looking; writes nothing and judges nothing:
 * what belongs to whom is for the manager, which has the records.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { PRIMARY_FILE_GLOBS, primaryFileKind } from '@holdfast/shared/chain/layer-names.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { BACKUPS_FOLDER, DOMAIN_XML_FILE, MANIFEST_FILE } from '@holdfast/shared/manifest/paths.js';
import { readDomain } from '../hypervisor/domain-facts.js';
import type { ImageTool } from '../images/image-tool.js';
import type { StorageLeases } from '../secondary/storage-leases.js';
import type { StorageSpec } from '../secondary/storage-spec.js';
import type { TargetFiles, TreeEntry } from '../secondary/target-files.js';

/** A file or directory below `backups/` of a storage; the path is relative to the storage's root. */
export interface SurveyedEntry extends TreeEntry {
  /** Of a manifest.json. */
  readonly manifest?: string;
  /** Of a qcow2 file; empty: none. */
  readonly backingName?: string;
  /** Of a domain.xml: the hard disks of the VM as it was then. A disk that was no file has no path. */
  readonly disks?: readonly { readonly target: string; readonly serial: string; readonly path: string | undefined }[];
  /** Why manifest, header or definition could not be read. */
  readonly problem?: string;
}

/** A file in a primary pool under a name that Holdfast gives to layers, restored volumes and what it is writing; the path is absolute. */
export type SurveyedLayer = Pick<TreeEntry, 'path' | 'inode' | 'sizeBytes' | 'allocatedBytes'>;

export interface SurveyPorts {
  readonly files: Pick<TargetFiles, 'tree' | 'list' | 'readText'>;
  readonly images: Pick<ImageTool, 'info'>;
  readonly storages: Pick<StorageLeases, 'acquire' | 'release'>;
  readonly primaryPools: readonly string[];
}

/** Nothing else below `backups/` is Holdfast's; it is named and not looked into. */
const VM_FOLDER = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NOTHING = { sizeBytes: 0n, allocatedBytes: 0n, inode: 0n };

/** Headers that are read at once: gentle with a storage that backups go to meanwhile. */
const AT_ONCE = 4;

/** The storage, VM by VM, so that a large one fits into memory. Errors are those of StorageLeases.acquire and of its files. */
export async function* surveyStorage(
  ports: SurveyPorts,
  storage: StorageSpec,
  signal: AbortSignal,
): AsyncGenerator<SurveyedEntry[]> {
  const visitor = randomUUID();
  const { root } = await ports.storages.acquire(storage, visitor, 'read');
  try {
    for (const name of (await ports.files.list(join(root, BACKUPS_FOLDER))) ?? []) {
      if (signal.aborted) return;
      const folder = `${BACKUPS_FOLDER}/${name}`;
      if (!VM_FOLDER.test(name)) {
        yield [{ ...NOTHING, path: folder, kind: 'other' }];
        continue;
      }
      const below = await ports.files.tree(join(root, folder), { signal });
      const entries = (below ?? []).map((entry) => ({ ...entry, path: `${folder}/${entry.path}` }));
      const read: SurveyedEntry[] = [];
      while (entries.length > 0 && !signal.aborted) {
        read.push(...(await Promise.all(entries.splice(0, AT_ONCE).map((entry) => readEntry(ports, root, entry)))));
      }
      yield [{ ...NOTHING, path: folder, kind: 'directory' }, ...read];
    }
  } finally {
    await ports.storages.release(storage.id, visitor);
  }
}

/** Every file of ours by name, and the pools that did not answer. */
export async function surveyPrimary(ports: SurveyPorts): Promise<{ layers: SurveyedLayer[]; silentPools: string[] }> {
  const layers = new Map<string, SurveyedLayer>();
  const silentPools: string[] = [];
  for (const pool of ports.primaryPools) {
    try {
      for (const entry of (await ports.files.tree(pool, { named: PRIMARY_FILE_GLOBS })) ?? []) {
        const path = join(pool, entry.path);
        if (entry.kind === 'file' && primaryFileKind(path) !== undefined) layers.set(path, { ...entry, path });
      }
    } catch {
      silentPools.push(pool);
    }
  }
  return { layers: [...layers.values()], silentPools };
}

async function readEntry(ports: SurveyPorts, root: string, entry: TreeEntry): Promise<SurveyedEntry> {
  if (entry.kind !== 'file') return entry;
  const path = join(root, entry.path);
  try {
    if (entry.path.endsWith(`/${MANIFEST_FILE}`)) {
      const manifest = await ports.files.readText(path);
      return manifest === undefined ? entry : { ...entry, manifest };
    }
    if (entry.path.endsWith(`/${DOMAIN_XML_FILE}`)) {
      const xml = await ports.files.readText(path);
      if (xml === undefined) return entry;
      return { ...entry, disks: readDomain(xml).disks.map(({ target, serial, path: file }) => ({ target, serial, path: file })) };
    }
    if (!entry.path.endsWith('.qcow2')) return entry;
    return { ...entry, backingName: (await ports.images.info(path, 'qcow2')).backingName ?? '' };
  } catch (thrown) {
    return { ...entry, problem: HoldfastError.from(thrown).message };
  }
}
