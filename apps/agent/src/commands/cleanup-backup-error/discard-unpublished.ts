/**
 * What a backup left on storage that nobody has seen published. The storage says what it is: without a manifest its folder goes,
 * with one it is a backup, whatever became of the operation that took it, and stays.
 */
import { join } from 'node:path';
import { BACKUPS_FOLDER, MANIFEST_FILE, backupFolder, vmFolder } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';
import { discardBackupFolder } from '../shared/discard-backup-folder.js';

/** `manifest`: its text, when the backup is published. As the journal keeps it. */
export type Discarded = { readonly manifest?: string };

/** Removes the folder, or says with which manifest it stays. Repeating is harmless. */
export async function discardUnpublished(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
): Promise<Discarded> {
  const folder = join(root, backupFolder(vmUuid, backupId));
  const manifest = await ports.files.readText(join(folder, MANIFEST_FILE));
  if (manifest === undefined) {
    await discardBackupFolder(ports, root, vmUuid, backupId, { unpublish: false });
    return {};
  }
  // Who renamed it may have died before it was durable: what can be read may still be lost with the power of the storage.
  await ports.files.sync([folder, join(root, vmFolder(vmUuid)), join(root, BACKUPS_FOLDER)]);
  return { manifest };
}
