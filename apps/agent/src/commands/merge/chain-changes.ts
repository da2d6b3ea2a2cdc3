/**
 * What an operation has changed on primary so far, read from its own journal: so it is the same for a merge that went
 * through, for one that stopped half way, and for one that an earlier life of the agent did. Looks at nothing else.
 */
import type { StepContext } from '../../operations/command.js';
import type { ChainChanges } from '../requests.js';
import type { MergeIntent } from './merge-deltas.js';

/** Nothing was changed. */
export const NO_CHANGES: ChainChanges = { removedPaths: [], movedPins: [] };

/** Several changes as one, in their order. */
export function joinChanges(changes: readonly ChainChanges[]): ChainChanges {
  return {
    removedPaths: changes.flatMap((one) => one.removedPaths),
    movedPins: changes.flatMap((one) => one.movedPins),
  };
}

/** What mergeDeltas has done for one disk: a layer counts once its file is gone. */
export function recordedChanges(context: StepContext, target: string, prefix: '' | 'undo-'): ChainChanges {
  const plan = (context.recorded(`${prefix}plan-merge`, target)?.result ?? []) as readonly MergeIntent[];
  const gone = plan.filter((_merge, index) => context.recorded(`${prefix}discard`, mergeSubject(target, index))?.confirmed);
  return {
    removedPaths: gone.map((merge) => merge.top),
    movedPins: gone.flatMap((merge) => merge.pins.map((snapshotId) => ({ snapshotId, target, path: merge.base }))),
  };
}

/** The subject of the steps of one merge. */
export function mergeSubject(target: string, index: number): string {
  return `${target}.${index + 1}`;
}
