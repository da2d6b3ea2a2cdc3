/**
 * Taking layers of ours out of one volume on primary. Owns the order, for each layer that goes, as planned:
 *   observe the tree → commit (block commit of a running VM's chain, else qemu-img commit) → fsync of the layer that
 *   received it and of its child → observe again: the layer is out of the chain → each other layer that lies on it is
 *   repointed, fsynced, looked at → only then its file is deleted, when nothing that is used leads to it.
 * A dead end is only deleted. The tree is observed before and after every step; a block job is finished when the chain says
 * so, never when it is gone.
 */
import { chainOf } from '@holdfast/shared/chain/layer-tree.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { fateOf, type Removal } from '@holdfast/shared/chain/plan-chain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { ChainChanges, MergeVolume } from '../requests.js';
import { demandSavedBelow } from '../shared/saved-state.js';
import { observeExisting } from '../shared/observe-settled.js';
import { mergeSubject, NO_CHANGES, pinsAfter, recordedChanges } from './chain-changes.js';
import { commitLive } from './commit-live.js';
import { commitOffline } from './commit-offline.js';
import { discardDelta, ofAnotherBoot } from './discard-delta.js';
import { forgetBackingStore } from './forget-backing-store.js';
import { observeTree, type VolumeTree } from './observe-tree.js';
import { planOf, untouchableOf } from './plan-of.js';
import { repointBranch } from './repoint-branch.js';

const ATTEMPTS = 5;
const RETRY_MS = 1_000;

/** One layer that goes, as the journal keeps it. */
export type MergeIntent = Removal & {
  readonly target: string;
  /** The QEMU process that had the chain open when the merge was planned; absent: stopped. */
  readonly runId?: string;
};
type Merge = Extract<MergeIntent, { kind: 'merge' }>;

/**
 * merged: `into` shows what the layer showed. unproven: the layer is out of the chain, but nothing shows that all of it was
 * merged. kept: a snapshot or a layer that came up since the plan needs it.
 */
export type MergeEnd = 'merged' | 'unproven' | 'kept';

/**
 * Takes what may go of `volume.deltaPaths` out of the volume and deletes it. `prefix` keeps step names apart when an
 * operation merges in its forward and in its undo part. Returns what is different now: a path that is not among the removed
 * ones stayed, which is no error. Throws when the tree is not what it must be; everything already done stays done.
 */
export async function mergeDeltas(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  volume: MergeVolume,
  prefix: '' | 'undo-',
): Promise<ChainChanges> {
  const { target, deltaPaths } = volume;
  if (deltaPaths.length === 0) return NO_CHANGES;
  const plan = await context.step(`${prefix}plan-merge`, target, { deltaPaths }, async () => {
    const domain = await observeExisting(ports, vmUuid, context.log);
    const { removals, staying } = await planOf(ports, domain, volume, context.log);
    for (const [path, because] of staying) context.log.info('a layer stays', { vm: vmUuid, target, path, because });
    return removals.map((removal): MergeIntent => ({
      ...removal,
      target,
      ...(domain.runId === undefined ? {} : { runId: domain.runId }),
    }));
  });
  for (const [index, removal] of plan.entries()) {
    const subject = mergeSubject(target, index);
    if (removal.kind === 'merge') {
      const pins = pinsAfter(volume, recordedChanges(context, target, prefix));
      const { end } = await context.step(`${prefix}merge`, subject, removal, async (intent, { repeated }) => ({
        end: await mergeOne(ports, context, vmUuid, { ...volume, pins }, intent as Merge, { prefix, repeated }),
      }));
      if (end !== 'merged') {
        // What was planned on top of it does not hold any more; the next operation plans again.
        context.warn(
          end === 'kept'
            ? `${removal.path} of ${target} stays: it is needed since a moment ago.`
            : `${removal.path} was left: it is out of the chain of ${target}, but whether all of it was merged cannot be proven.`,
        );
        break;
      }
      for (const [branch, child] of removal.branches.entries()) {
        const step = { child, from: removal.path, to: removal.into, target };
        await context.step(`${prefix}repoint`, `${subject}.${branch + 1}`, step, (intent) =>
          repointBranch(ports, context, vmUuid, volume, intent),
        );
      }
    }
    const pins = pinsAfter(volume, recordedChanges(context, target, prefix), removal);
    await context.step(`${prefix}discard`, subject, { path: removal.path }, ({ path }) =>
      discardDelta(ports, context, vmUuid, path, pins, volume.givenUp),
    );
  }
  return recordedChanges(context, target, prefix);
}

async function mergeOne(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  volume: MergeVolume,
  intent: Merge,
  { prefix, repeated }: { prefix: '' | 'undo-'; repeated: boolean },
): Promise<MergeEnd> {
  for (let attempt = 1; ; attempt += 1) {
    const domain = await observeExisting(ports, vmUuid, context.log);
    const seen = await observeTree(ports, domain, volume);
    const chain = chainOf(seen.tree, seen.tree.active);
    const inChain = chain.includes(intent.path);
    if (!inChain && intent.place !== 'branch') {
      if (!chain.includes(intent.into) || (attempt === 1 && !repeated)) throw unexplained(domain, intent, chain);
      if (domain.persistent) await forgetBackingStore(ports, vmUuid, intent.target);
      return (await isProvenMerged(ports, domain, seen, intent)) ? 'merged' : 'unproven';
    }
    if (seen.tree.parents.get(intent.path) !== intent.into) throw unexplained(domain, intent, chainOf(seen.tree, intent.path));
    if (context.rebooted) throw ofAnotherBoot(vmUuid, intent.path);
    // What drifted is its owner's to mend first. An undo brings the VM back to what the definition was made for, and may mend it
    // itself: libvirt may have died between its note of the snapshot and the definition.
    const problem = domain.problems[0];
    if (problem !== undefined && prefix === '') throw HoldfastError.fromData(problem);
    if (!intent.commit) return 'merged';
    const fate = fateOf({ tree: seen.tree, untouchable: await untouchableOf(ports, domain, seen) }, intent.path);
    if (fate.kind !== 'merge') return 'kept';
    await demandSavedBelow(ports, domain, intent);
    try {
      if (domain.persistent) await forgetBackingStore(ports, vmUuid, intent.target);
      if (inChain && domain.state !== 'shut-off') await commitLive(ports, context, domain, intent);
      else await commitOffline(ports, context, domain, seen, intent);
      if (domain.persistent) await forgetBackingStore(ports, vmUuid, intent.target);
      return 'merged';
    } catch (thrown) {
      // Whatever happened, the chain tells at the next look: a shutdown, a start or a death may have come between.
      const error = HoldfastError.from(thrown);
      context.log.warn('a merge did not go through, looking again', {
        vm: vmUuid,
        target: intent.target,
        attempt,
        code: error.code,
        reason: error.message,
      });
      if (attempt >= ATTEMPTS || error.code === 'BUG') throw error;
      await ports.clock.sleep(RETRY_MS * attempt);
    }
  }
}

/**
 * The layer is out of the chain, and this life of the agent did not see how. Merged by our commit, or was the VM pointed
 * at the layer below by somebody? The same QEMU process as before cannot have dropped it otherwise; else the contents are
 * compared, unless a running guest writes to the layer below. When neither proves it, the file stays.
 */
async function isProvenMerged(ports: CommandPorts, domain: ObservedDomain, seen: VolumeTree, intent: Merge): Promise<boolean> {
  const { path, into } = intent;
  if (domain.runId !== undefined && domain.runId === intent.runId) return true;
  const format = seen.formats.get(into);
  if (format === undefined || (domain.state !== 'shut-off' && into === seen.tree.active)) return false;
  // Gone by other hands: nothing can be compared, and nothing may need it.
  if ((await ports.files.stat(path)) === undefined) return intent.branches.length === 0 && intent.pins.length === 0;
  return ports.images.equal({ path, format: 'qcow2' }, { path: into, format });
}

function unexplained(domain: ObservedDomain, intent: Merge, chain: readonly string[]): HoldfastError {
  return new HoldfastError(
    'CHAIN_UNEXPLAINED',
    `Disk ${intent.target} of VM ${domain.name} has ${chain.join(' → ')}; expected ${intent.path} directly over ${intent.into}. Nothing was merged.`,
    { vmId: domain.uuid, target: intent.target, path: intent.path },
  );
}
