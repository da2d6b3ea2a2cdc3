/**
 * The proof before backups are deleted: no other backup on the storage needs one of them. Owns that look at what really lies
 * there, whatever the manager knows (it may have been set back to yesterday).
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { MANIFEST_FILE, backupFolder, vmFolder } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';
import { readManifest } from '../shared/read-manifest.js';

/**
 * IN_USE {backupId, dependentId} when a published backup that is not in `going` names one of them as its parent.
 * BACKUP_DAMAGED when the manifest of one that stays cannot be read: then nobody can say what it needs.
 */
export async function demandNoDependents(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  going: readonly string[],
): Promise<void> {
  for (const backupId of (await ports.files.list(join(root, vmFolder(vmUuid)))) ?? []) {
    if (going.includes(backupId)) continue;
    const names = await ports.files.list(join(root, backupFolder(vmUuid, backupId)));
    if (names?.includes(MANIFEST_FILE) !== true) continue;
    const { parentBackupId, backupName } = (await readManifest(ports, root, vmUuid, backupId)).manifest;
    if (parentBackupId === undefined || !going.includes(parentBackupId)) continue;
    throw new HoldfastError(
      'IN_USE',
      `Backup ${parentBackupId} is not deleted: the backup "${backupName}" (${backupId}) on the same storage needs it. Delete that one first, or with it; when it is not listed, "holdfast storage scan" takes it up from there.`,
      { backupId: parentBackupId, dependentId: backupId },
    );
  }
}
