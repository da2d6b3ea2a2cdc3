/**
 * Does the header of a backup's file name what its manifest says? qemu-img opens what headers name, wherever that is: so they are
 * looked at before it may, one file at a time, and no backing file is opened for it. Owns that comparison and its words.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ImageInfo } from '../../images/image-tool.js';
import type { CommandPorts } from '../ports.js';
import type { BackupFile } from './read-backup.js';
import { damaged } from './read-manifest.js';

/** What the header says. BACKUP_DAMAGED when it names another file than its manifest, or data outside of itself. */
export async function demandBacking(
  ports: Pick<CommandPorts, 'images'>,
  { backupId, path, parentFile }: Pick<BackupFile, 'backupId' | 'path' | 'parentFile'>,
): Promise<ImageInfo> {
  const info = await ports.images.info(path, 'qcow2').catch((thrown: unknown) => {
    const error = HoldfastError.from(thrown);
    if (error.code !== 'DISK_UNSUPPORTED') throw error;
    throw new HoldfastError('BACKUP_DAMAGED', `Backup ${backupId} is damaged: ${error.message}`, { backupId, path });
  });
  const { backingName, backingFormat } = info;
  if (backingName !== parentFile) {
    const [found, expected] = [backingName ?? 'no file', parentFile ?? 'none'].map((name) => JSON.stringify(name));
    throw damaged(backupId, path, `names ${found} as its backing file, its manifest says ${expected}`);
  }
  if (backingName !== undefined && backingFormat !== 'qcow2')
    throw damaged(backupId, path, `gives its backing file the format ${backingFormat ?? 'none'}, not qcow2`);
  return info;
}
