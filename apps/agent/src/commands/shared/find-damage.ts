/** Comparing a file of a backup with its manifest. Owns the words for the difference. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import type { BackupFile } from './read-backup.js';

/** BACKUP_DAMAGED when the file is not what its manifest says. Reads only. */
export async function findDamage(
  ports: Pick<CommandPorts, 'files'>,
  file: Pick<BackupFile, 'backupId' | 'path' | 'digest'>,
  signal?: AbortSignal,
): Promise<HoldfastError | undefined> {
  if (file.digest === undefined) return undefined;
  const digest = await ports.files.digest(file.path, signal ? { signal } : {});
  if (digest === file.digest) return undefined;
  return new HoldfastError(
    'BACKUP_DAMAGED',
    `${file.path} is damaged: its digest is ${digest}, the manifest of backup ${file.backupId} says ${file.digest}. ` +
      'Nothing was changed because of it. Restore another backup, or accept the damage explicitly.',
    { backupId: file.backupId, path: file.path },
  );
}

/** A tool that stumbles over a damaged file may be faster than its digest: the damage is what is said, where there is one. */
export async function damageBehind(
  ports: Pick<CommandPorts, 'files'>,
  files: readonly BackupFile[],
  thrown: unknown,
): Promise<HoldfastError> {
  const error = HoldfastError.from(thrown);
  if (error.code !== 'TOOL_FAILED') return error;
  for (const file of files) {
    const damage = await findDamage(ports, file);
    if (damage !== undefined) return damage;
  }
  return error;
}
