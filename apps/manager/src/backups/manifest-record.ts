/**
 * The record of a backup that nobody recorded when it was taken, from its manifest, which is the truth of the storage. Owns
 * which fields say what; whether the backup may be recorded is for others to decide. Looks at nothing.
 */
import type { EntityManager } from 'typeorm';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { backupFolder } from '@holdfast/shared/manifest/paths.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';

type FromManifest =
  'state' | 'type' | 'isolated' | 'parentId' | 'endOfChain' | 'quiesced' | 'frozenAt' | 'sizeBytes' | 'error' | 'finishedAt';

/** What the manifest says of the backup. */
export function manifestColumns(manifest: Manifest): Pick<BackupEntity, FromManifest> {
  return {
    state: 'BackedUp',
    ...lineage(manifest),
    isolated: manifest.isolated,
    // Its delta was not kept, or is tracked nowhere, so no backup is put on it.
    endOfChain: !manifest.isolated,
    quiesced: manifest.quiesced,
    frozenAt: new Date(manifest.frozenAt),
    error: null,
    finishedAt: new Date(manifest.publishedAt),
  };
}

/** What a compaction changes of a backup. */
export function lineage(manifest: Manifest): Pick<BackupEntity, 'type' | 'parentId' | 'sizeBytes'> {
  return {
    type: manifest.type,
    parentId: manifest.parentBackupId ?? null,
    sizeBytes: manifest.volumes.reduce((sum, { sizeBytes }) => sum + BigInt(sizeBytes), 0n),
  };
}

/** What the manifest says of the backup's volumes. */
export function manifestVolumes(manifest: Manifest): Omit<BackupVolumeEntity, 'copiedInFullReason'>[] {
  const folder = backupFolder(manifest.vm.id, manifest.backupId);
  return manifest.volumes.map((volume) => ({
    backupId: manifest.backupId,
    key: volume.key,
    target: volume.device,
    sizeBytes: BigInt(volume.sizeBytes),
    virtualSizeBytes: BigInt(volume.virtualSizeBytes),
    file: `${folder}/${volume.file}`,
    parentFile: volume.parentFile ?? null,
    digest: volume.digest,
    copiedInFull: volume.parentFile === undefined,
  }));
}

/** Why a backup is full into which its parent was merged. */
export function mergedInto(absorbed: Pick<BackupEntity, 'name'>): string {
  return `the backup "${absorbed.name}" below it was deleted, and merged into it`;
}

/** What a backup that turned up means for the records beside it: its VM's, and those of the backups that it needs. */
export async function noteTurnedUp(manager: EntityManager, manifest: Manifest): Promise<void> {
  const frozenAt = new Date(manifest.frozenAt);
  const vm = await manager.findOneByOrFail(VmEntity, { id: manifest.vm.id });
  if (vm.lastBackupAt === null || vm.lastBackupAt < frozenAt)
    await manager.update(VmEntity, { id: vm.id }, { lastBackupAt: frozenAt });
  await keepAncestors(manager, manifest.parentBackupId);
}

/** Their deletion failed because this backup needs their files: it is no deletion any more, they are kept for others only. */
async function keepAncestors(manager: EntityManager, parentId: string | undefined): Promise<void> {
  for (let id = parentId ?? null; id !== null;) {
    const row: BackupEntity | null = await manager.findOneBy(BackupEntity, { id });
    if (row?.state === 'DeleteFailed')
      await manager.update(BackupEntity, { id }, { state: 'Removed', error: null, deleteNotBefore: null });
    id = row?.parentId ?? null;
  }
}
