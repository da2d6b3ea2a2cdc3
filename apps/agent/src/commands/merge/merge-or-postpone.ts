/** Merging after the point of no return: the work stands, so a merge that fails is left for later. Owns what "later" means. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { ChainChanges, MergeVolume } from '../requests.js';
import { waitsForHypervisor } from '../shared/waits-for-hypervisor.js';
import { joinChanges, recordedChanges } from './chain-changes.js';
import { mergeDeltas } from './merge-deltas.js';

/**
 * Merges disk by disk. `pending`: something is left to merge that could not be merged now (what must stay because of a
 * snapshot or a second child is not pending); `changes`: what was done all the same. A hypervisor that is away goes to the
 * runner, which repeats; in the last try it is pending like everything else, for this disk and all that follow.
 */
export async function mergeOrPostpone(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  wishes: readonly MergeVolume[],
): Promise<{ pending: boolean; changes: ChainChanges }> {
  let pending = false;
  // One after another: each pivot suspends the guest for a moment.
  for (const wish of wishes) {
    try {
      await mergeDeltas(ports, context, vmUuid, wish, '');
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (waitsForHypervisor(error, context)) throw error;
      pending = true;
      context.warn(`The deltas of ${wish.target} are not merged yet: ${error.message}`);
      if (error.code === 'HYPERVISOR_UNAVAILABLE') break;
    }
  }
  return { pending, changes: joinChanges(wishes.map((wish) => recordedChanges(context, wish.target, ''))) };
}
