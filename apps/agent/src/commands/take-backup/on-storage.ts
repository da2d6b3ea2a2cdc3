/**
 * Is the backup really on its storage? Owns the question and its patience. A storage whose mount is taken away leaves an empty
 * folder that takes whatever is written, and a rename that nobody saw the end of may have happened: only the storage itself,
 * by its identity, can say.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { MANIFEST_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';

const RETRY_MS = 5_000;

/**
 * True when the storage holds the manifest. Waits until the storage answers, before anything else is decided: taking back a
 * published backup, publishing twice and calling published what is not there would all be lies.
 */
export async function isOnStorage(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<boolean> {
  for (let told = false; ; told = true) {
    try {
      const { root } = await ports.storages.acquire(request.storage, request.header.operationId, 'read');
      const manifest = join(root, backupFolder(request.header.vmUuid, request.backupId), MANIFEST_FILE);
      return (await ports.files.readText(manifest)) !== undefined;
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (!told) context.warn(`Whether the backup was published cannot be seen until its storage answers: ${error.message}`);
      await ports.clock.sleep(RETRY_MS);
    }
  }
}
