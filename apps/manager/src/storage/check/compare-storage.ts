/**
 * Compares what lies on a storage with the records of its backups. Pure. Owns what each difference means; looks at nothing.
 * A VM that something works on is left out: what is half done today is whole, or gone, tomorrow.
 */
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { SurveyedEntry } from '../../agents/agent-types.js';
import type { Backup, BackupState } from '@holdfast/shared/api/backups.js';
import { contentFindings, manifestOf, sortOut, type BackupFolder } from './backup-folders.js';
import type { Finding } from './finding.js';

/** A backup as the database has it. */
export interface RecordedBackup {
  readonly id: string;
  readonly vmId: string;
  readonly vmName: string;
  readonly name: string;
  readonly state: BackupState;
  readonly type: Backup['type'];
  readonly parentId: string | null;
}

export interface StorageComparison {
  readonly storageId: string;
  readonly entries: readonly SurveyedEntry[];
  readonly backups: readonly RecordedBackup[];
  readonly busyVmIds: ReadonlySet<string>;
}

/** Its files must be there. */
const EXISTING: ReadonlySet<BackupState> = new Set(['BackedUp', 'Removed']);
/** Whether its files are there is being decided. */
const UNDECIDED: ReadonlySet<BackupState> = new Set(['Queued', 'BackingUp', 'DeleteFailed']);

/** Every difference, in the order of paths. */
export function compareStorage(input: StorageComparison): Finding[] {
  const { folders, foreign } = sortOut(input.entries, input.busyVmIds);
  const known = new Map(input.backups.map((backup) => [backup.id, backup]));
  const found: Finding[] = foreign.map(foreignEntry);
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

function foreignEntry({ path, allocatedBytes }: SurveyedEntry): Finding {
  return {
    ...{ kind: 'ForeignEntry', path, allocatedBytes },
    message: `${path} is nothing that Holdfast makes. It is left alone; move it away if nobody needs it there.`,
  };
}

function folderFindings(
  folder: BackupFolder,
  known: RecordedBackup | undefined,
  folders: ReadonlyMap<string, BackupFolder>,
  storageId: string,
): Finding[] {
  if (known !== undefined && UNDECIDED.has(known.state)) return [];
  const { path, vmId, backupId, files } = folder;
  const allocatedBytes = [...files.values()].reduce((sum, file) => sum + file.allocatedBytes, 0n);
  const where = { path, allocatedBytes, vmId, backupId };
  const manifest = manifestOf(folder, storageId);
  if (manifest === undefined) {
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
  if (typeof manifest === 'string')
    return [{ ...where, kind: 'UnreadableManifest', message: `${path}/${MANIFEST_FILE} ${manifest}. It is left alone.` }];
  if (known === undefined || known.state === 'Failed')
    return [
      {
        ...{ ...where, kind: 'UnknownBackup' },
        message:
          `${path} is backup ${manifest.backupName} of VM ${manifest.vm.name} from ${manifest.frozenAt}, published on the storage, ` +
          (known === undefined
            ? 'but not in the database. "holdfast storage scan" takes it up.'
            : 'but recorded as failed. It is left alone and can be restored with qemu-img.'),
      },
    ];
  if (known.state === 'Expunged')
    return [
      {
        ...{ ...where, kind: 'DeletedBackup' },
        message: `Backup ${known.name} of VM ${known.vmName} was deleted, but its files are still there. They can be removed.`,
      },
    ];
  return [...recordFindings(known, manifest, where), ...contentFindings(folder, manifest, folders)];
}

/** True when a record contradicts a manifest that is not in the middle of a compaction: of a database that was set back. */
export function recordDiffers(known: RecordedBackup, manifest: Manifest): boolean {
  if (!EXISTING.has(known.state) || manifest.compaction !== undefined) return false;
  return manifest.type !== known.type || (manifest.parentBackupId ?? null) !== known.parentId;
}

function recordFindings(known: RecordedBackup, manifest: Manifest, where: Omit<Finding, 'kind' | 'message'>): Finding[] {
  if (!recordDiffers(known, manifest)) return [];
  const words = (type: string, parent: string | null): string =>
    `${type} ${parent === null ? 'without a parent' : `on ${parent}`}`;
  return [
    {
      ...{ ...where, kind: 'RecordDiffers' },
      message:
        `Backup ${known.name} of VM ${known.vmName} is recorded as ${words(known.type, known.parentId)}, its manifest says ` +
        `${words(manifest.type, manifest.parentBackupId ?? null)}. "holdfast storage scan" sets the record right.`,
    },
  ];
}
