/**
 * Folders of backups as a survey saw them: which there are, whose manifest is one, and whether the files are as it says. Pure.
 * Owns what a whole folder is; knows no record.
 */
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, PARTIAL_SUFFIX, backupFolder, manifestFiles, vmFolder } from '@holdfast/shared/manifest/paths.js';
import type { SurveyedEntry } from '../../agents/agent-types.js';
import type { Finding } from './finding.js';

export interface BackupFolder {
  readonly vmId: string;
  readonly backupId: string;
  readonly path: string;
  readonly files: Map<string, SurveyedEntry>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Folders of backups by path, and the entries that Holdfast never makes. Those of busy VMs are left out. */
export function sortOut(
  entries: readonly SurveyedEntry[],
  busyVmIds: ReadonlySet<string>,
): { folders: Map<string, BackupFolder>; foreign: SurveyedEntry[] } {
  const folders = new Map<string, BackupFolder>();
  const foreign: SurveyedEntry[] = [];
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const [, vmId = '', backupId, name, ...deeper] = entry.path.split('/');
    if (busyVmIds.has(vmId) || deeper.length > 0) continue;
    const isPlace = name === undefined && entry.directory && UUID.test(backupId ?? vmId);
    if (backupId === undefined || name === undefined) {
      // What is below a foreign directory is told with it.
      if (!isPlace && (backupId === undefined || UUID.test(vmId))) foreign.push(entry);
      else if (isPlace && backupId !== undefined && UUID.test(vmId))
        folders.set(entry.path, { vmId, backupId, path: entry.path, files: new Map() });
      continue;
    }
    const folder = folders.get(backupFolder(vmId, backupId));
    if (folder === undefined) continue;
    if (entry.directory) foreign.push(entry);
    else folder.files.set(name, entry);
  }
  return { folders, foreign };
}

/** The manifest; why what is there is none, as the end of a sentence; undefined: there is none. */
export function manifestOf(folder: BackupFolder, storageId: string): Manifest | string | undefined {
  const entry = folder.files.get(MANIFEST_FILE);
  if (entry === undefined) return undefined;
  if (entry.manifest === undefined) return `cannot be read (${entry.problem})`;
  let manifest: Manifest;
  try {
    manifest = manifestSchema.parse(JSON.parse(entry.manifest));
  } catch {
    return 'is no manifest of this version of Holdfast';
  }
  if (manifest.backupId === folder.backupId && manifest.vm.id === folder.vmId && manifest.storageId === storageId)
    return manifest;
  return `is that of backup ${manifest.backupId} of VM ${manifest.vm.id} on storage ${manifest.storageId}, so it is in the wrong place`;
}

/** Everything in which the folder, and what its files need of others, is not as its manifest says. */
export function contentFindings(folder: BackupFolder, manifest: Manifest, folders: ReadonlyMap<string, BackupFolder>): Finding[] {
  const { path, vmId, backupId, files } = folder;
  const found: Finding[] = [];
  const say = (kind: Finding['kind'], name: string, message: string): void => {
    const allocatedBytes = files.get(name)?.allocatedBytes ?? 0n;
    found.push({ kind, path: `${path}/${name}`, allocatedBytes, vmId, backupId, message: `${path}/${name} ${message}` });
  };
  const own = manifestFiles(manifest);
  for (const name of files.keys()) {
    if (own.includes(name)) continue;
    if (name.endsWith(PARTIAL_SUFFIX))
      say('PartialFile', name, 'was being written by something that is over. It can be removed.');
    else say('StrayFile', name, 'belongs to no manifest. It can be removed.');
  }
  const backup = `backup ${manifest.backupName} of VM ${manifest.vm.name}`;
  const optional = own.filter((name) => name === manifest.domainXmlFile || name === manifest.nvramFile);
  for (const name of optional) if (!files.has(name)) say('MissingFile', name, `is missing: a part of ${backup}. Bring it back.`);
  // Two backups in the middle of a merge: their manifests say what was, until the next compaction has finished it.
  if (manifest.compaction !== undefined) return found;
  for (const { file, sizeBytes, parentFile } of manifest.volumes) {
    const entry = files.get(file);
    if (entry === undefined) {
      say('MissingFile', file, `is missing: ${backup}, and every backup that needs it, cannot be restored without it.`);
      continue;
    }
    if (entry.problem !== '') say('UnreadableFile', file, `of ${backup} cannot be read (${entry.problem}).`);
    if (entry.sizeBytes !== BigInt(sizeBytes))
      say('SizeDiffers', file, `of ${backup} has ${entry.sizeBytes} bytes, its manifest says ${sizeBytes}.`);
    const parent = parentFile ?? '';
    if (entry.problem === '' && entry.backingName !== parent)
      say(
        'BrokenParent',
        file,
        `of ${backup} names ${entry.backingName || 'no parent'} in its header, its manifest says ${parent || 'none'}.`,
      );
    const [, parentId = '', parentName = ''] = parent.split('/');
    if (parent !== '' && folders.get(`${vmFolder(vmId)}/${parentId}`)?.files.has(parentName) !== true)
      say('BrokenParent', file, `of ${backup} needs ${parent}, which is not there.`);
  }
  return found;
}

const HARMLESS: ReadonlySet<Finding['kind']> = new Set(['PartialFile', 'StrayFile']);

/** Why the backup cannot be restored as it lies there, in a sentence; undefined: it is whole. Digests are for whoever reads it. */
export function damageOf(
  folder: BackupFolder,
  manifest: Manifest,
  folders: ReadonlyMap<string, BackupFolder>,
): string | undefined {
  return contentFindings(folder, manifest, folders).find(({ kind }) => !HARMLESS.has(kind))?.message;
}
