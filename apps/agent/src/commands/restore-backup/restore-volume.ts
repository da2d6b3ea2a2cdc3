/**
 * Bringing one volume back into a new file on primary. Owns the order: `.partial` → data → fsync → qemu-img check →
 * rename → fsync of the folder; beside it the digests of every file that is read are compared with their manifests.
 */
import { dirname } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { RestoreBackupRequest, RestoreBackupVolume } from '../requests.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { findDamage } from '../shared/find-damage.js';
import type { BackupFile } from '../shared/read-backup.js';

/** Flattens the volume's chain into `newPath`. */
export async function restoreVolume(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
  volume: RestoreBackupVolume,
  files: readonly BackupFile[],
  root: string,
  signal: AbortSignal,
): Promise<void> {
  const [head] = files;
  if (head === undefined) throw new HoldfastError('BUG', `Volume ${volume.key} has no files.`);
  const partial = volume.newPath + PARTIAL_SUFFIX;
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0n);
  const folder = dirname(volume.newPath);
  try {
    await context.step('restore', volume.key, { partial, path: volume.newPath }, async () => {
      await ports.files.remove(partial);
      if ((await ports.files.stat(volume.newPath)) === undefined) {
        await ports.images.flatten({
          sourcePath: head.path,
          sourceFormat: 'qcow2',
          targetPath: partial,
          coroutines: request.coroutines,
          signal,
          onProgress: (share) =>
            context.progress({
              key: volume.key,
              target: volume.target,
              phase: 'restore',
              doneBytes: BigInt(Math.round(share * Number(totalBytes))),
              totalBytes,
            }),
        });
        await ports.files.sync(partial, { signal });
        await ports.images.check(partial);
        await ports.files.rename(partial, volume.newPath);
      }
      await ports.files.sync(folder);
      return null;
    });
  } catch (thrown) {
    // Two places can have failed: the one that is read is looked at first, then the one that is written.
    const atSource = await explainStorageFailure(ports, { kind: 'storage', name: request.storage.name, path: root }, thrown);
    if (atSource.code === 'STORAGE_MISSING' || atSource.code === 'STORAGE_HANGING') throw atSource;
    throw await explainStorageFailure(ports, { kind: 'primary', name: folder, path: folder }, thrown);
  }
}

/** Compares one file's digest with its manifest. A mismatch is BACKUP_DAMAGED, or a warning when the caller accepts damage. */
export async function verifyFile(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
  file: BackupFile,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await compareDigest(ports, request, context, file, signal);
  } catch (thrown) {
    throw await explainStorageFailure(ports, { kind: 'storage', name: request.storage.name, path: root }, thrown);
  }
}

async function compareDigest(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
  file: BackupFile,
  signal: AbortSignal,
): Promise<void> {
  await context.step(
    'verify',
    `${file.backupId}.${file.path.slice(file.path.lastIndexOf('/') + 1)}`,
    { path: file.path },
    async () => {
      if (file.digest === undefined) {
        context.warn(`${file.path} is being merged with its parent, so its digest could not be compared.`);
        return null;
      }
      const damage = await findDamage(ports, file, signal);
      if (damage !== undefined && !request.acceptDamaged) throw damage;
      if (damage !== undefined)
        context.warn(
          `${file.path} is damaged (its digest is not that of its manifest) and was restored all the same, as wished.`,
        );
      return null;
    },
  );
}
