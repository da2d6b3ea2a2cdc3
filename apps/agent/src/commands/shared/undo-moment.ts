/**
 * Taking a moment back: each new overlay that is in a chain is merged into what is under it, each that is not is removed.
 * Decides from the chain as it is now, not from how far the operation came.
 */
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext, VmOutcomeName } from '../../operations/command.js';
import { discardDelta } from '../merge/discard-delta.js';
import { mergeDeltas } from '../merge/merge-deltas.js';
import type { CommandPorts } from '../ports.js';
import type { MergeVolume } from '../requests.js';
import { chainPaths, diskOf, observeSettled } from './observe-settled.js';

/** A disk with the overlay that goes. */
export type UndoneDisk = Omit<MergeVolume, 'deltaPaths'> & { readonly newPath: string };

/** AsBefore; MergePending or Unexplained with the reason. Retryable errors go to the runner, which repeats. */
export async function undoMoment(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  disks: readonly UndoneDisk[],
): Promise<{ vmOutcome: VmOutcomeName; error?: ErrorData }> {
  await ports.duties.relieve(vmUuid);
  const snapped = context.recorded('snapshot') !== undefined;
  if (!snapped && context.recorded('freeze') === undefined) return { vmOutcome: 'AsBefore' };
  try {
    const domain = await observeSettled(ports, vmUuid, context.log);
    // Migrated away or undefined in the middle: its chain is not ours to touch here, nor can its guest be thawed here.
    if (domain === undefined) return { vmOutcome: 'MergePending' };
    if (!snapped) return { vmOutcome: 'AsBefore' };
    const staying: string[] = [];
    for (const disk of disks) {
      const inChain = chainPaths(diskOf(domain, disk.target)).includes(disk.newPath);
      if (inChain || context.recorded('undo-plan-merge', disk.target) !== undefined) {
        const { removedPaths } = await mergeDeltas(ports, context, vmUuid, { ...disk, deltaPaths: [disk.newPath] }, 'undo-');
        // Somebody took a snapshot on it meanwhile: it belongs to the disk until that snapshot is gone.
        if (!removedPaths.includes(disk.newPath)) staying.push(disk.newPath);
      } else {
        await context.step('undo-remove-delta', disk.target, { path: disk.newPath }, ({ path }) =>
          discardDelta(ports, context, vmUuid, path, disk.pins),
        );
      }
    }
    if (staying.length === 0) return { vmOutcome: 'AsBefore' };
    context.warn(`What was put on the disks is needed by now and stays: ${staying.join(', ')}.`);
    return { vmOutcome: 'MergePending' };
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    if (error.code === 'CHAIN_UNEXPLAINED') return { vmOutcome: 'Unexplained', error: error.toData() };
    if (error.code === 'ORPHANED_QEMU' || error.code === 'FILE_IN_USE' || error.code === 'PLAN_OUTDATED') {
      context.warn(`The new layers are not merged back yet: ${error.message}`);
      return { vmOutcome: 'MergePending', error: error.toData() };
    }
    throw error;
  }
}
