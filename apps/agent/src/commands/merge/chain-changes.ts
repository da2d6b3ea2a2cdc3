/**
 * What an operation has changed on primary so far, read from its own journal: so it is the same for a merge that went
 * through, for one that stopped half way, and for one that an earlier life of the agent did. Looks at nothing else.
 */
import type { RecordedStep, StepContext } from '../../operations/command.js';
import type { ChainChanges, MergeVolume, PinnedLayer } from '../requests.js';
import type { MergeEnd, MergeIntent } from './merge-deltas.js';

/** Nothing was changed. */
export const NO_CHANGES: ChainChanges = { removedPaths: [], leftPaths: [], movedPins: [] };

/** Several changes as one, in their order. */
export function joinChanges(changes: readonly ChainChanges[]): ChainChanges {
  return {
    removedPaths: changes.flatMap((one) => one.removedPaths),
    leftPaths: changes.flatMap((one) => one.leftPaths),
    movedPins: changes.flatMap((one) => one.movedPins),
  };
}

/** What mergeDeltas has done for one disk: a layer counts as removed once its file is gone, and as left until then. */
export function recordedChanges(context: StepContext, target: string, prefix: '' | 'undo-'): ChainChanges {
  const plan = (context.recorded(`${prefix}plan-merge`, target)?.result ?? []) as readonly MergeIntent[];
  return joinChanges(
    plan.map((removal, index) => {
      const subject = mergeSubject(target, index);
      if (context.recorded(`${prefix}discard`, subject)?.confirmed)
        return { removedPaths: [removal.path], leftPaths: [], movedPins: movedBy(removal) };
      return isMerged(context.recorded(`${prefix}merge`, subject)) ? { ...NO_CHANGES, leftPaths: [removal.path] } : NO_CHANGES;
    }),
  );
}

/** The step's own result says whether the layer went, and whether all of it is in the one that took it in. */
function isMerged(merge: RecordedStep | undefined): boolean {
  return merge?.confirmed === true && (merge.result as { end: MergeEnd }).end === 'merged';
}

/** Where the snapshots of a volume are after these changes, and after one more removal. */
export function pinsAfter(
  volume: Pick<MergeVolume, 'target' | 'pins'>,
  changes: ChainChanges,
  removal?: MergeIntent,
): PinnedLayer[] {
  const moved = [...changes.movedPins, ...(removal === undefined ? [] : movedBy(removal))];
  return volume.pins.map(({ snapshotId, path }) => {
    const last = moved.findLast((one) => one.snapshotId === snapshotId && one.target === volume.target);
    return { snapshotId, path: last?.path ?? path };
  });
}

/** The subject of the steps of one removal. */
export function mergeSubject(target: string, index: number): string {
  return `${target}.${index + 1}`;
}

function movedBy(removal: MergeIntent): ChainChanges['movedPins'] {
  if (removal.kind === 'delete') return [];
  return removal.pins.map((snapshotId) => ({ snapshotId, target: removal.target, path: removal.into }));
}
