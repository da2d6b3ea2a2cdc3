/**
 * DeleteBackups: deletes published backups from storages. Owns the order of its steps:
 *
 *   merge, discard (deltas of a head that goes) → per storage: check (nobody who stays needs what goes) →
 *   delete (per backup, newest first): manifest out of the way, fsync → files → folder, fsync of what held it
 *
 * A backup ceases to exist with its manifest, and is called expunged only when its files are gone. There is nothing to take
 * back: what is deleted is deleted, what is not is asked for again. A storage that fails does not keep another waiting.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { Command, Outcome, StepContext } from '../../operations/command.js';
import { joinChanges, recordedChanges } from '../merge/chain-changes.js';
import { mergeOrPostpone } from '../merge/merge-or-postpone.js';
import type { CommandPorts } from '../ports.js';
import type { DeleteBackupsRequest, DeleteBackupsResult } from '../requests.js';
import { bigintJson } from '../shared/bigint-json.js';
import { discardBackupFolder } from '../shared/discard-backup-folder.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { demandNoDependents } from './demand-no-dependents.js';

type Deletion = DeleteBackupsRequest['deletions'][number];

/** What the journal keeps of one deletion. */
type Deleted = {
  /** Decimal. */
  readonly freedBytes: string;
  /** Names in the folder that are not Holdfast's. */
  readonly left: readonly string[];
};

export function deleteBackupsCommand(ports: CommandPorts): Command<DeleteBackupsRequest, DeleteBackupsResult> {
  return {
    kind: 'DeleteBackups',
    codec: bigintJson<DeleteBackupsRequest>(),
    resultCodec: bigintJson<DeleteBackupsResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    undo: async (request, context) => {
      await ports.duties.relieve(request.header.vmUuid);
      for (const { storage } of request.deletions) await ports.storages.release(storage.id, context.operationId);
      // Whoever wanted deltas merged looks again at how far that came.
      const vmOutcome = request.volumes.length > 0 ? 'MergePending' : 'AsBefore';
      return { vmOutcome, result: resultSoFar(request, context) };
    },
  };
}

async function run(
  ports: CommandPorts,
  request: DeleteBackupsRequest,
  context: StepContext,
): Promise<Outcome<DeleteBackupsResult>> {
  const pending = await merge(ports, request, context);
  let failure: HoldfastError | undefined;
  for (const deletion of request.deletions) {
    try {
      await deleteFromStorage(ports, request, context, deletion);
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (error.code === 'BUG' || context.signal.aborted) throw error;
      if (failure !== undefined) context.warn(failure.message);
      failure = error;
    }
  }
  if (failure !== undefined) throw failure;
  return { result: resultSoFar(request, context), vmOutcome: pending ? 'MergePending' : 'AsAfter' };
}

/** What is done, from the journal: the same at a good end, after a failure, and for what an earlier life did. */
function resultSoFar(request: DeleteBackupsRequest, context: StepContext): DeleteBackupsResult {
  const deleted = request.deletions
    .flatMap(({ backupIds }) => backupIds)
    .map((backupId) => ({ backupId, record: context.recorded('delete', backupId) }))
    .filter(({ record }) => record?.confirmed === true);
  return {
    expungedBackupIds: deleted.map(({ backupId }) => backupId),
    freedBytes: deleted.reduce((sum, { record }) => sum + BigInt((record?.result as Deleted).freedBytes), 0n),
    changes: joinChanges(request.volumes.map(({ target }) => recordedChanges(context, target, ''))),
  };
}

/** True when something is left to merge. No content of the VM depends on the backups, so they need not wait for libvirt. */
async function merge(ports: CommandPorts, request: DeleteBackupsRequest, context: StepContext): Promise<boolean> {
  try {
    return (await mergeOrPostpone(ports, context, request.header.vmUuid, request.volumes)).pending;
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    if (error.code !== 'HYPERVISOR_UNAVAILABLE') throw error;
    context.warn(`The deltas on primary are not merged yet: ${error.message}`);
    return true;
  }
}

async function deleteFromStorage(
  ports: CommandPorts,
  request: DeleteBackupsRequest,
  context: StepContext,
  { storage, backupIds }: Deletion,
): Promise<void> {
  const { vmUuid } = request.header;
  // 'read': a storage that is full cannot prove that it can be written, and must be emptied all the same.
  const { root } = await ports.storages.acquire(storage, context.operationId, 'read');
  const explained = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (thrown) {
      throw await explainStorageFailure(ports, { kind: 'storage', name: storage.name, path: root }, thrown);
    }
  };
  await context.step('check', storage.id, { backupIds: [...backupIds] }, () =>
    explained(async () => {
      await demandNoDependents(ports, root, vmUuid, backupIds);
      return null;
    }),
  );
  for (const backupId of backupIds) {
    const { left } = await context.step('delete', backupId, {}, () =>
      explained(async (): Promise<Deleted> => {
        const folder = join(root, backupFolder(vmUuid, backupId));
        const bytes = await allocatedIn(ports, folder);
        const left = await discardBackupFolder(ports, root, vmUuid, backupId, { unpublish: true });
        return { freedBytes: String(bytes - (await allocatedIn(ports, folder))), left };
      }),
    );
    if (left.length > 0) context.warn(`The folder of backup ${backupId} stays: ${left.join(', ')} in it is not of Holdfast.`);
  }
  await ports.storages.release(storage.id, context.operationId);
}

/** Bytes that the files of a folder really take; 0 when it is not there. */
async function allocatedIn(ports: CommandPorts, folder: string): Promise<bigint> {
  let bytes = 0n;
  for (const name of (await ports.files.list(folder)) ?? []) {
    bytes += (await ports.files.stat(join(folder, name)))?.allocatedBytes ?? 0n;
  }
  return bytes;
}
