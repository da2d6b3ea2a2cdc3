/**
 * Removing a backup that never became one: its folder on secondary without a manifest. Owns the order: only known names,
 * files first, folder last; a foreign file in it stays, and then the folder.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import {
  DOMAIN_XML_FILE,
  MANIFEST_FILE,
  NVRAM_FILE,
  PARTIAL_SUFFIX,
  backupFolder,
  vmFolder,
} from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

const VOLUME_FILE = /^[0-9a-f-]{36}\.qcow2$/;

/**
 * Removes the folder. IN_USE when it holds a manifest: then it is a backup and is deleted as one.
 * With `unpublish`, an own manifest that nobody was told about is taken out of the way first.
 */
export async function discardBackupFolder(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
  options: { readonly unpublish: boolean },
): Promise<void> {
  const folder = join(root, backupFolder(vmUuid, backupId));
  const names = await ports.files.list(folder);
  if (names === undefined) return;
  if (names.includes(MANIFEST_FILE)) {
    if (!options.unpublish) {
      throw new HoldfastError('IN_USE', `Backup ${backupId} is published (its manifest exists); delete it as a backup.`, {
        backupId,
        path: folder,
      });
    }
    await ports.files.remove(join(folder, MANIFEST_FILE + PARTIAL_SUFFIX));
    await ports.files.rename(join(folder, MANIFEST_FILE), join(folder, MANIFEST_FILE + PARTIAL_SUFFIX));
    await ports.files.sync(folder);
  }
  for (const name of (await ports.files.list(folder)) ?? []) {
    const ours = name.endsWith(PARTIAL_SUFFIX) || name === DOMAIN_XML_FILE || name === NVRAM_FILE || VOLUME_FILE.test(name);
    if (ours) await ports.files.remove(join(folder, name));
  }
  if ((await ports.files.list(folder))?.length === 0) {
    await ports.files.removeDirectory(folder);
    const vm = join(root, vmFolder(vmUuid));
    if ((await ports.files.list(vm))?.length === 0) await ports.files.removeDirectory(vm);
  }
}
