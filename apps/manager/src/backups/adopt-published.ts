/**
 * Backups that are on record as failed and turn out to be published: their host died, or was given up, after the manifest stood.
 * The manifest is the truth of the storage, so the row becomes what it says. Owns that change; looks at nothing.
 */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import type { PublishedBackup } from '../agents/agent-types.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import { manifestColumns, manifestVolumes, noteTurnedUp } from './manifest-record.js';
import { noteRetention } from './note-retention.js';

/** Records, in the transaction of the clean-up that found them, what these are. None of them is left over from then on. */
export async function adoptPublished(
  manager: EntityManager,
  vmId: string,
  found: readonly PublishedBackup[],
  now: Date,
): Promise<void> {
  for (const { backupId, manifest: text } of found) {
    const row = await manager.findOneBy(BackupEntity, { id: backupId, vmId, leftoversOnStorage: true });
    if (row === null) continue;
    await manager.update(BackupEntity, { id: row.id }, { leftoversOnStorage: false });
    // One whose deletion is under way goes as a backup, by that deletion.
    if (row.state !== 'Failed') continue;
    const manifest = manifestOf(text, row);
    // The check of its storage shows it to people, who decide.
    if (manifest === undefined) continue;
    const flaw = await flawOf(manager, manifest, row);
    if (flaw === undefined) await adopt(manager, row, manifest, now);
    else await giveAway(manager, row, flaw, now);
  }
}

/**
 * Why it is no backup that can be restored, as the end of a sentence. Until a backup is given up nothing is merged on its VM, and
 * the frozen layers are as they were; what was published later may have been read from layers that were merged meanwhile. And
 * nobody knew that it needs its parent.
 */
async function flawOf(manager: EntityManager, manifest: Manifest, row: BackupEntity): Promise<string | undefined> {
  if (row.finishedAt === null || new Date(manifest.publishedAt) > row.finishedAt)
    return 'was published after it had been given up, from disks that may have been merged by then';
  if (manifest.parentBackupId === undefined) return undefined;
  const parent = await manager.findOneBy(BackupEntity, { id: manifest.parentBackupId });
  return parent === null || parent.state === 'Expunged' ? 'needs a backup that was deleted meanwhile' : undefined;
}

async function adopt(manager: EntityManager, row: BackupEntity, manifest: Manifest, now: Date): Promise<void> {
  const warnings = [...row.warnings, `Its operation was lost after it was published; it was found whole on its storage.`];
  await manager.update(BackupEntity, { id: row.id }, { ...manifestColumns(manifest), warnings });
  await manager.insert(BackupVolumeEntity, manifestVolumes(manifest));
  await noteTurnedUp(manager, manifest);
  await noteRetention(manager, row, now);
}

/** It stands on its storage and must not be restored: it is deleted there as backups are, until it is seen gone. */
async function giveAway(manager: EntityManager, row: BackupEntity, flaw: string, now: Date): Promise<void> {
  const message = `The backup "${row.name}" ${flaw}. It is deleted.`;
  const error = new HoldfastError('INTERRUPTED', message, { backupId: row.id }).toData();
  await manager.update(BackupEntity, { id: row.id }, { state: 'DeleteFailed', error: error as object, deleteNotBefore: now });
}

/** Undefined: nothing that this version of Holdfast wrote for this backup. */
function manifestOf(text: string, row: BackupEntity): Manifest | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { data } = manifestSchema.safeParse(json);
  const fits = data?.backupId === row.id && data.vm.id === row.vmId && data.storageId === row.storageId;
  return fits ? data : undefined;
}
