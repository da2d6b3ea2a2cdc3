/**
 * Removing the folder of a backup on secondary: of one that never became one, or of one that shall be no more. Owns the order:
 * a manifest out of the way and fsync, then files (only known names), then the folder and fsync of what held it, then the look
 * whether all of that was done on the storage. A foreign file in it stays, and then the folder.
 */
import { dirname, join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import {
  DOMAIN_XML_FILE,
  IDENTITY_FILE,
  MANIFEST_FILE,
  NVRAM_FILE,
  PARTIAL_SUFFIX,
  backupFolder,
  vmFolder,
} from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

const VOLUME_FILE = /^[0-9a-f-]{36}\.qcow2$/;

/**
 * Removes the folder. IN_USE when it holds a manifest: then it is a backup and is deleted as one. STORAGE_MISSING when the storage
 * went away meanwhile, whether it is back by now or not.
 * With `unpublish`, the manifest is taken out of the way first: from then on the backup does not exist. Repeating is harmless.
 * Returns the names in the folder that are not Holdfast's.
 */
export async function discardBackupFolder(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
  options: { readonly unpublish: boolean },
): Promise<readonly string[]> {
  const folder = join(root, backupFolder(vmUuid, backupId));
  const names = await ports.files.list(folder);
  if (names?.includes(MANIFEST_FILE) === true) {
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
    if (isOurs(name)) await ports.files.remove(join(folder, name));
  }
  if ((await ports.files.list(folder))?.length === 0) {
    await ports.files.removeDirectory(folder);
  }
  // Also when an earlier life came just so far: what is reported as gone must not come back after a power loss.
  const vm = join(root, vmFolder(vmUuid));
  if ((await ports.files.list(vm))?.length === 0) await ports.files.removeDirectory(vm);
  const held = (await ports.files.list(vm)) === undefined ? dirname(vm) : vm;
  if ((await ports.files.list(held)) !== undefined) await ports.files.sync(held);
  return leftOn(ports, root, folder);
}

function isOurs(name: string): boolean {
  const described = name === DOMAIN_XML_FILE || name === NVRAM_FILE || name === MANIFEST_FILE;
  return described || name.endsWith(PARTIAL_SUFFIX) || VOLUME_FILE.test(name);
}

/** An unmounted storage looks like one on which everything is gone, and one that is back by now still has it. */
async function leftOn(ports: Pick<CommandPorts, 'files'>, root: string, folder: string): Promise<readonly string[]> {
  const isMounted = async (): Promise<boolean> => (await ports.files.stat(join(root, IDENTITY_FILE))) !== undefined;
  const before = await isMounted();
  const left = (await ports.files.list(folder)) ?? [];
  if (before && (await isMounted()) && !left.some(isOurs)) return left;
  throw new HoldfastError(
    'STORAGE_MISSING',
    `The secondary storage at ${root} went away while ${folder} was removed. Bring it back; it is tried again.`,
    { path: folder },
  );
}
