/**
 * Compares what lies on a storage with the records of its backups. Pure. Owns what each difference means; looks at nothing.
 * A VM that something works on is left out: what is half done today is whole, or gone, tomorrow.
 */
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, PARTIAL_SUFFIX, backupFolder, manifestFiles, vmFolder } from '@holdfast/shared/manifest/paths.js';
import type { SurveyedEntry } from '../../agents/agent-types.js';
import type { BackupState } from '@holdfast/shared/api/backups.js';
import type { Finding } from './finding.js';

/** A backup as the database has it. */
export interface RecordedBackup {
  readonly id: string;
  readonly vmId: string;
  readonly vmName: string;
  readonly name: string;
  readonly state: BackupState;
}

export interface StorageComparison {
  readonly storageId: string;
  readonly entries: readonly SurveyedEntry[];
  readonly backups: readonly RecordedBackup[];
  readonly busyVmIds: ReadonlySet<string>;
}

interface Folder {
  readonly vmId: string;
  readonly backupId: string;
  readonly path: string;
  readonly files: Map<string, SurveyedEntry>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Its files must be there. */
const EXISTING: ReadonlySet<BackupState> = new Set(['BackedUp', 'Removed']);
/** Whether its files are there is being decided. */
const UNDECIDED: ReadonlySet<BackupState> = new Set(['Queued', 'BackingUp', 'DeleteFailed']);

/** Every difference, in the order of paths. */
export function compareStorage(input: StorageComparison): Finding[] {
  const { folders, foreign } = sortOut(input);
  const known = new Map(input.backups.map((backup) => [backup.id, backup]));
  const found: Finding[] = [...foreign];
  for (const folder of folders.values())
    found.push(...folderFindings(folder, known.get(folder.backupId), folders, input.storageId));
  for (const backup of input.backups) {
    const path = backupFolder(backup.vmId, backup.id);
    if (!EXISTING.has(backup.state) || input.busyVmIds.has(backup.vmId) || folders.has(path)) continue;
    found.push({
      ...{ kind: 'MissingFile', path, allocatedBytes: 0n, vmId: backup.vmId, backupId: backup.id },
      message: `Backup ${backup.name} of VM ${backup.vmName} is recorded, but its folder is not on the storage. Bring it back, or delete the backup.`,
    });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Folders of backups by path, and what Holdfast never makes. */
function sortOut({ entries, busyVmIds }: StorageComparison): { folders: Map<string, Folder>; foreign: Finding[] } {
  const folders = new Map<string, Folder>();
  const foreign: Finding[] = [];
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const [, vmId = '', backupId, name, ...deeper] = entry.path.split('/');
    if (busyVmIds.has(vmId) || deeper.length > 0) continue;
    const isPlace = name === undefined && entry.directory && UUID.test(backupId ?? vmId);
    if (backupId === undefined || name === undefined) {
      // What is below a foreign directory is told with it.
      if (!isPlace && (backupId === undefined || UUID.test(vmId))) foreign.push(foreignEntry(entry));
      else if (isPlace && backupId !== undefined && UUID.test(vmId))
        folders.set(entry.path, { vmId, backupId, path: entry.path, files: new Map() });
      continue;
    }
    const folder = folders.get(backupFolder(vmId, backupId));
    if (folder === undefined) continue;
    if (entry.directory) foreign.push(foreignEntry(entry));
    else folder.files.set(name, entry);
  }
  return { folders, foreign };
}

function foreignEntry({ path, allocatedBytes }: SurveyedEntry): Finding {
  return {
    ...{ kind: 'ForeignEntry', path, allocatedBytes },
    message: `${path} is nothing that Holdfast makes. It is left alone; move it away if nobody needs it there.`,
  };
}

function folderFindings(
  folder: Folder,
  known: RecordedBackup | undefined,
  folders: ReadonlyMap<string, Folder>,
  storageId: string,
): Finding[] {
  if (known !== undefined && UNDECIDED.has(known.state)) return [];
  const { path, vmId, backupId, files } = folder;
  const allocatedBytes = [...files.values()].reduce((sum, file) => sum + file.allocatedBytes, 0n);
  const where = { path, allocatedBytes, vmId, backupId };
  const entry = files.get(MANIFEST_FILE);
  if (entry === undefined) {
    if (known !== undefined && EXISTING.has(known.state))
      return [
        {
          ...{ ...where, kind: 'MissingFile', path: `${path}/${MANIFEST_FILE}` },
          message: `Backup ${known.name} of VM ${known.vmName} is recorded, but its manifest is missing. Bring it back, or delete the backup.`,
        },
      ];
    return [
      {
        ...{ ...where, kind: 'FolderWithoutManifest' },
        message: `${path} has no manifest, so it is no backup: something that was interrupted left it. It can be removed.`,
      },
    ];
  }
  const manifest = manifestOf(entry, folder, storageId);
  if (typeof manifest === 'string')
    return [{ ...where, kind: 'UnreadableManifest', message: `${path}/${MANIFEST_FILE} ${manifest}. It is left alone.` }];
  if (known === undefined || known.state === 'Failed')
    return [
      {
        ...{ ...where, kind: 'UnknownBackup' },
        message:
          `${path} is backup ${manifest.backupName} of VM ${manifest.vm.name} from ${manifest.frozenAt}, whole on the storage, ` +
          `but ${known === undefined ? 'not in the database' : 'recorded as failed'}. It is left alone and can be restored with qemu-img.`,
      },
    ];
  if (known.state === 'Expunged')
    return [
      {
        ...{ ...where, kind: 'DeletedBackup' },
        message: `Backup ${known.name} of VM ${known.vmName} was deleted, but its files are still there. They can be removed.`,
      },
    ];
  return contentFindings(folder, manifest, folders);
}

/** The manifest, or why it is none, as the end of a sentence. */
function manifestOf(entry: SurveyedEntry, folder: Folder, storageId: string): Manifest | string {
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

function contentFindings(folder: Folder, manifest: Manifest, folders: ReadonlyMap<string, Folder>): Finding[] {
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
