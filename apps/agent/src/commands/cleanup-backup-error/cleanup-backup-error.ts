/**
 * CleanupBackupError: brings the primary chains of a VM to rest and removes what failed backups left. Owns no knowledge of
 * its own: every decision is the merge planner's, over the chain as it is now. With dryRun nothing is touched.
 * It has no undo: each merge is whole in itself, and what is not done is done by the next try.
 */
import { plannedChangeInWords, type PlannedChange } from '@holdfast/shared/chain/planned-change.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Command, Outcome, StepContext } from '../../operations/command.js';
import { joinChanges, NO_CHANGES, pinsAfter, recordedChanges } from '../merge/chain-changes.js';
import { discardDelta } from '../merge/discard-delta.js';
import { mergeDeltas } from '../merge/merge-deltas.js';
import { planOf } from '../merge/plan-of.js';
import type { CommandPorts } from '../ports.js';
import type { ChainChanges, CleanupBackupErrorRequest, CleanupBackupErrorResult, MergeVolume } from '../requests.js';
import { bigintJson } from '../shared/bigint-json.js';
import { observeExisting } from '../shared/observe-settled.js';
import { discardUnpublished, type Discarded } from './discard-unpublished.js';

const THAW_PATIENCE_MS = 10_000;
const plannedJson = bigintJson<readonly PlannedChange[]>();

export function cleanupBackupErrorCommand(ports: CommandPorts): Command<CleanupBackupErrorRequest, CleanupBackupErrorResult> {
  return {
    kind: 'CleanupBackupError',
    codec: bigintJson<CleanupBackupErrorRequest>(),
    resultCodec: bigintJson<CleanupBackupErrorResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    undo: async (request, context, error) => {
      if (request.storage) await ports.storages.release(request.storage.id, context.operationId);
      return {
        vmOutcome: error.code === 'CHAIN_UNEXPLAINED' ? 'Unexplained' : 'MergePending',
        error: error.toData(),
        result: {
          plan: [],
          planned: [],
          activePaths: {},
          changes: changesSoFar(request, context),
          published: publishedSoFar(request, context),
        },
      };
    },
  };
}

async function run(
  ports: CommandPorts,
  request: CleanupBackupErrorRequest,
  context: StepContext,
): Promise<Outcome<CleanupBackupErrorResult>> {
  const { vmUuid } = request.header;
  const planned = plannedJson.decode(
    await context.step('plan', '', {}, async () => plannedJson.encode(await planChanges(ports, request, context))),
  );
  const plan = inWords(planned);
  if (request.dryRun) return { result: { plan, planned, activePaths: {}, changes: NO_CHANGES }, vmOutcome: 'AsBefore' };
  if (request.thaw) await context.step('thaw', '', {}, () => thaw(ports, vmUuid));
  for (const volume of volumesOf(request)) await mergeDeltas(ports, context, vmUuid, volume, '');
  const changes = changesSoFar(request, context);
  const pins = request.volumes.flatMap((volume) => pinsAfter(volume, changes));
  for (const path of request.unusedDeltaPaths) {
    await context.step('remove-unused', path, { path }, (intent) =>
      discardDelta(ports, context, vmUuid, intent.path, pins, request.unusedDeltaPaths),
    );
  }
  if (request.storage && request.unpublishedBackupIds.length > 0) {
    const { root } = await ports.storages.acquire(request.storage, context.operationId, 'read');
    for (const backupId of request.unpublishedBackupIds) {
      // null: confirmed by an agent of before.
      const discarded: Discarded | null = await context.step('discard-folder', backupId, { backupId }, (intent) =>
        discardUnpublished(ports, root, vmUuid, intent.backupId),
      );
      if (discarded?.manifest !== undefined)
        context.warn(`Backup ${backupId} was published before its operation was lost: it is kept.`);
    }
    await ports.storages.release(request.storage.id, context.operationId);
  }
  const activePaths: Record<string, string> = {};
  if (request.volumes.length > 0) {
    const domain = await observeExisting(ports, vmUuid, context.log);
    for (const disk of domain.disks) if (disk.layers[0]) activePaths[disk.target] = disk.layers[0].path;
  }
  const published = publishedSoFar(request, context);
  return { result: { plan, planned, activePaths, changes: changesSoFar(request, context), published }, vmOutcome: 'AsAfter' };
}

function volumesOf(request: CleanupBackupErrorRequest): MergeVolume[] {
  return request.volumes.map((volume) => ({ ...volume, givenUp: request.unusedDeltaPaths }));
}

/** As a duty: a guest whose agent does not answer now is thawed when it does. */
async function thaw(ports: CommandPorts, vmUuid: string): Promise<null> {
  await ports.duties.owe(vmUuid, 'thaw');
  await ports.duties.fulfil(vmUuid, 'thaw', THAW_PATIENCE_MS);
  return null;
}

/** Merged layers and removed files, as far as this operation came. */
function changesSoFar(request: CleanupBackupErrorRequest, context: StepContext): ChainChanges {
  const removed = request.unusedDeltaPaths.filter((path) => context.recorded('remove-unused', path)?.confirmed);
  return joinChanges([
    ...request.volumes.map((volume) => recordedChanges(context, volume.target, '')),
    { ...NO_CHANGES, removedPaths: removed },
  ]);
}

/** Backups that turned out to be published, as far as this operation came. */
function publishedSoFar(request: CleanupBackupErrorRequest, context: StepContext): CleanupBackupErrorResult['published'] {
  return request.unpublishedBackupIds.flatMap((backupId) => {
    const discarded = context.recorded('discard-folder', backupId)?.result as Discarded | null | undefined;
    return discarded?.manifest === undefined ? [] : { backupId, manifest: discarded.manifest };
  });
}

async function planChanges(
  ports: CommandPorts,
  request: CleanupBackupErrorRequest,
  context: StepContext,
): Promise<PlannedChange[]> {
  if (request.unpublishedBackupIds.length > 0 && request.storage === undefined) {
    throw new HoldfastError('INVALID_INPUT', 'Unpublished backups were named without the storage that holds them.');
  }
  const changes: PlannedChange[] = [];
  if (request.volumes.length > 0) {
    const domain = await observeExisting(ports, request.header.vmUuid, context.log);
    for (const volume of volumesOf(request)) {
      const { target } = volume;
      const { removals, staying } = await planOf(ports, domain, volume, context.log);
      for (const removal of removals) {
        changes.push(
          removal.kind === 'delete'
            ? { action: 'delete', target, path: removal.path }
            : { action: 'merge', target, path: removal.path, into: removal.into },
        );
      }
      for (const [path, because] of staying) changes.push({ action: 'keep', target, path, because });
      const absent = volume.deltaPaths.filter((path) => !staying.has(path) && !removals.some((removal) => removal.path === path));
      for (const path of absent) changes.push({ action: 'gone', target, path });
    }
  }
  for (const path of request.unusedDeltaPaths) changes.push({ action: 'delete-if-unused', path });
  for (const backupId of request.unpublishedBackupIds)
    changes.push({ action: 'remove-unfinished', backupId, storageName: request.storage?.name ?? '' });
  return changes;
}

function inWords(changes: readonly PlannedChange[]): string[] {
  return changes.length > 0 ? changes.map(plannedChangeInWords) : ['nothing to do: every chain is at rest'];
}
