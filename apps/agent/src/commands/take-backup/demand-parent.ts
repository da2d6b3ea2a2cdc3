/**
 * Can an incremental backup be put on its parent? Owns that look at the storage, before anything is touched: every file of the chain is
 * there and as long as its manifest says, and the file that will be named is based on what it must be. Content is not read.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { askedAtOnce } from '../../process/asked-at-once.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { demandBacking } from '../shared/demand-backing.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { damageBehind } from '../shared/find-damage.js';
import { readChains } from '../shared/read-backup.js';
import { damaged } from '../shared/read-manifest.js';
import { parentDelta } from './parent-delta.js';

/** BACKUP_DAMAGED {backupId, path}: no backup can be put on this parent any more. */
export async function demandParent(ports: CommandPorts, request: TakeBackupRequest, root: string): Promise<void> {
  const { parentBackupId, storage, header } = request;
  const keys = request.volumes.filter((volume) => parentDelta(request, volume) !== undefined).map(({ key }) => key);
  if (parentBackupId === undefined || keys.length === 0) return;
  const look = () => lookAtChains(ports, { root, vmUuid: header.vmUuid, parentBackupId, keys });
  try {
    await look().catch(async (thrown: unknown) => {
      if (HoldfastError.from(thrown).code !== 'BACKUP_DAMAGED') throw thrown;
      // The folder of a storage that was just unmounted is empty as well: looked at again once it has proven what it is.
      await ports.storages.acquire(storage, header.operationId, 'write');
      await look();
    });
  } catch (thrown) {
    const error = await explainStorageFailure(ports, { kind: 'storage', name: storage.name, path: root }, thrown);
    if (error.code !== 'BACKUP_DAMAGED') throw error;
    const message = `${error.message} Nothing was touched. No backup can be put on it as it is, so the next one is full.`;
    throw new HoldfastError('BACKUP_DAMAGED', message, error.fields, { cause: error });
  }
}

async function lookAtChains(
  ports: CommandPorts,
  chain: { readonly root: string; readonly vmUuid: string; readonly parentBackupId: string; readonly keys: readonly string[] },
): Promise<void> {
  const { root, vmUuid, parentBackupId, keys } = chain;
  const files = [...(await readChains(ports, root, vmUuid, parentBackupId, keys)).values()];
  for (const { backupId, path, sizeBytes, foundBytes } of files.flat()) {
    if (foundBytes !== sizeBytes) throw damaged(backupId, path, `has ${foundBytes} bytes, its manifest says ${sizeBytes}`);
  }
  const parents = files.flatMap(([parent]) => parent ?? []);
  await askedAtOnce(parents.map((parent) => demandBacking(ports, parent))).catch(async (thrown: unknown) => {
    throw await damageBehind(ports, parents, thrown);
  });
}
