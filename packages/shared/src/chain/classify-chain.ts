/**
 * Says what an observed chain means to an operation that froze a disk: recovery compares what is with what was meant.
 * Pure. Must not repair anything.
 *
 * Semantics, with `before` the chain at the start of the operation, `newDelta` the overlay that its freeze puts on top, and
 * `deltas` every delta of ours that this operation may merge down (it may contain `newDelta`):
 * - as-before: exactly `before`.
 * - as-after: exactly `newDelta` over `before`, without the layers in `deltas`. When that equals `before` (an isolated
 *   backup), as-before is said.
 * - mergeable: every layer of `newDelta` over `before` that nobody but us may remove is there, in its order; missing are
 *   at most layers in `deltas` (merged already); layers that we do not know lie above everything of `before` that is left
 *   (VM snapshots taken since). The planner can go on from here.
 * - unexplained: anything else. A layer is missing that nobody merged, the order is another, a foreign layer is in the
 *   middle, or the chain is empty.
 */

export interface ExpectedChain {
  /** Active layer first. */
  readonly before: readonly string[];
  /** Undefined when the operation puts none on this disk. */
  readonly newDelta: string | undefined;
  readonly deltas: readonly string[];
}

export interface ChainVerdict {
  readonly kind: 'as-before' | 'as-after' | 'mergeable' | 'unexplained';
  /** For people: a whole phrase. */
  readonly reason: string;
  /** Deltas of ours that are still in the chain, active side first. */
  readonly deltasLeft: readonly string[];
  /** Layers that we do not know. */
  readonly foreign: readonly string[];
}

/** Classifies the observed paths of one disk, active layer first. */
export function classifyChain(observed: readonly string[], expected: ExpectedChain): ChainVerdict {
  const { before, newDelta, deltas } = expected;
  const full = newDelta === undefined || before.includes(newDelta) ? before : [newDelta, ...before];
  const ours = new Set(deltas);
  const known = new Set(full);
  const foreign = observed.filter((path) => !known.has(path) && !ours.has(path));
  const deltasLeft = observed.filter((path) => ours.has(path));
  const say = (kind: ChainVerdict['kind'], reason: string): ChainVerdict => ({ kind, reason, deltasLeft, foreign });

  if (observed.length === 0) return say('unexplained', 'no layer was observed');
  if (same(observed, before)) return say('as-before', 'the chain is as it was before the operation');
  const after = full.filter((path) => !ours.has(path));
  if (same(observed, after)) return say('as-after', 'the chain is as it should be after the operation');

  const repeated = observed.find((path, index) => observed.indexOf(path) !== index);
  if (repeated !== undefined) return say('unexplained', `${repeated} is in the chain twice`);
  const stray = deltasLeft.find((path) => !known.has(path));
  if (stray !== undefined)
    return say('unexplained', `${stray} is in the chain although it was neither there before nor put there by this operation`);
  const missing = full.filter((path) => !observed.includes(path));
  // The new delta may also never have been put on; then only what was there before has to be explained.
  const neverPutOn = newDelta !== undefined && missing.includes(newDelta) && !missing.some((path) => path !== newDelta);
  const lost = neverPutOn ? undefined : missing.find((path) => !ours.has(path));
  if (lost !== undefined) return say('unexplained', `${lost} is missing and is none of the deltas that may have been merged`);
  const kept = observed.filter((path) => known.has(path));
  const order = full.filter((path) => observed.includes(path));
  if (!same(kept, order)) return say('unexplained', `the layers are in another order than expected: ${kept.join(' on ')}`);
  const highestBefore = observed.findIndex((path) => before.includes(path));
  const inside = foreign.find((path) => highestBefore === -1 || observed.indexOf(path) > highestBefore);
  if (inside !== undefined) return say('unexplained', `${inside} is unknown and lies below layers of this disk`);
  return say('mergeable', describe(missing, foreign, newDelta, neverPutOn));
}

function describe(
  missing: readonly string[],
  foreign: readonly string[],
  newDelta: string | undefined,
  neverPutOn: boolean,
): string {
  const parts: string[] = [];
  if (neverPutOn) parts.push(`${newDelta} is not in the chain`);
  else if (missing.length > 0) parts.push(`merged already: ${missing.join(', ')}`);
  if (foreign.length > 0) parts.push(`put on by others since: ${foreign.join(', ')}`);
  return parts.length === 0 ? 'every layer is there' : parts.join('; ');
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((path, index) => path === b[index]);
}
