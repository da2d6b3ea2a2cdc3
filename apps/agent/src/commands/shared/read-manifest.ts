/** One manifest on storage, read and checked. Owns the words for what can be wrong with it. */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

export interface ReadManifest {
  readonly manifest: Manifest;
  /** As it lies on storage. */
  readonly text: string;
}

/** The manifest, checked, and its text. BACKUP_DAMAGED when it is missing, no JSON, of another form or of another backup. */
export async function readManifest(
  ports: Pick<CommandPorts, 'files'>,
  root: string,
  vmUuid: string,
  backupId: string,
): Promise<ReadManifest> {
  const path = join(root, backupFolder(vmUuid, backupId), MANIFEST_FILE);
  const text = await ports.files.readText(path);
  if (text === undefined) {
    throw new HoldfastError(
      'BACKUP_DAMAGED',
      `Backup ${backupId} has no manifest on its storage (${path}): it was deleted there, or never finished.`,
      { backupId, path },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw damaged(backupId, path, 'is not JSON');
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success)
    throw damaged(
      backupId,
      path,
      `does not fit its schema (${parsed.error.issues.map((issue) => issue.path.join('.')).join(', ')})`,
    );
  if (parsed.data.backupId !== backupId || parsed.data.vm.id !== vmUuid)
    throw damaged(backupId, path, 'belongs to another backup');
  return { manifest: parsed.data, text };
}

/** BACKUP_DAMAGED that names the file and the way out. */
export function damaged(backupId: string, path: string, what: string): HoldfastError {
  return new HoldfastError(
    'BACKUP_DAMAGED',
    `Backup ${backupId} is damaged: ${path} ${what}. Restore another backup, or bring the file back.`,
    { backupId, path },
  );
}
