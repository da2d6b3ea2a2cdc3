/**
 * Merging our deltas of one disk down on primary. Owns the order, for each delta, bottom-most first:
 *   observe the chain → commit (block commit of a running VM, qemu-img commit of a stopped one) → fsync of the layer that
 *   received it and of its child → observe again: the delta is out of the chain → only then its file is deleted.
 * The chain is observed before and after every step; a block job is finished when the chain says so, never when it is gone.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { planMerge, type MergeStep } from '@holdfast/shared/chain/plan-merge.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { ChainChanges, MergeVolume } from '../requests.js';
import { chainPaths, diskOf, observeExisting } from '../shared/observe-settled.js';
import { mergeSubject, NO_CHANGES, recordedChanges } from './chain-changes.js';
import { commitLive } from './commit-live.js';
import { commitOffline } from './commit-offline.js';
import { discardDelta } from './discard-delta.js';
import { forgetBackingStore } from './forget-backing-store.js';

const ATTEMPTS = 5;
const RETRY_MS = 1_000;

/** One merge, as the journal keeps it. */
export type MergeIntent = {
  readonly target: string;
  readonly top: string;
  readonly base: string;
  /** The QEMU process that had the chain open when the merge was planned; absent: stopped. */
  readonly runId?: string;
  /** Our snapshots whose content is in `top` before, and in `base` after it. */
  readonly pins: readonly string[];
};

/** The plan of one disk: what of `deltaPaths` is in its chain, bottom first. Pure over the observation. */
export function planOf(domain: ObservedDomain, wish: MergeVolume): readonly MergeStep[] {
  return planMerge({
    ...(wish.templatePath === undefined ? {} : { templatePath: wish.templatePath }),
    layers: diskOf(domain, wish.target).layers,
    mergePaths: new Set(wish.deltaPaths),
    running: domain.state !== 'shut-off',
  }).steps;
}

/**
 * Merges the given deltas of one disk and deletes their files. `prefix` keeps step names apart when an operation merges
 * in its forward and in its undo part. Returns what is different now. Throws when the chain is not what it must be; everything already merged stays merged.
 */
export async function mergeDeltas(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  wish: MergeVolume,
  prefix: '' | 'undo-',
): Promise<ChainChanges> {
  const { target, deltaPaths } = wish;
  if (deltaPaths.length === 0) return NO_CHANGES;
  const plan = await context.step(`${prefix}plan-merge`, target, { deltaPaths }, async () => {
    const domain = await observeExisting(ports, vmUuid, context.log);
    return planOf(domain, wish).map((step): MergeIntent => ({
      target,
      top: step.top,
      base: step.base,
      pins: wish.pins.filter((pin) => pin.path === step.top).map((pin) => pin.snapshotId),
      ...(domain.runId === undefined ? {} : { runId: domain.runId }),
    }));
  });
  for (const [index, merge] of plan.entries()) {
    const subject = mergeSubject(target, index);
    const { discard } = await context.step(`${prefix}merge`, subject, merge, (intent, { repeated }) =>
      mergeOne(ports, context, vmUuid, intent, repeated),
    );
    if (discard)
      await context.step(`${prefix}discard`, subject, { path: merge.top }, ({ path }) =>
        discardDelta(ports, context, vmUuid, path, []),
      );
    else
      context.warn(
        `${merge.top} was left: it is out of the chain of ${target}, but whether all of it was merged cannot be proven.`,
      );
  }
  return recordedChanges(context, target, prefix);
}

async function mergeOne(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  intent: MergeIntent,
  repeated: boolean,
): Promise<{ discard: boolean }> {
  for (let attempt = 1; ; attempt += 1) {
    const domain = await observeExisting(ports, vmUuid, context.log);
    const chain = chainPaths(diskOf(domain, intent.target));
    const index = chain.indexOf(intent.top);
    if (index === -1) {
      if (!chain.includes(intent.base)) throw unexplained(domain, intent, chain);
      if (attempt === 1 && !repeated) throw unexplained(domain, intent, chain);
      if (domain.persistent) await forgetBackingStore(ports, vmUuid, intent.target);
      return { discard: await isProvenMerged(ports, domain, intent) };
    }
    if (chain[index + 1] !== intent.base) throw unexplained(domain, intent, chain);
    try {
      if (domain.persistent) await forgetBackingStore(ports, vmUuid, intent.target);
      if (domain.state === 'shut-off') await commitOffline(ports, context, domain, intent);
      else await commitLive(ports, context, domain, intent);
      if (domain.persistent) await forgetBackingStore(ports, vmUuid, intent.target);
      return { discard: true };
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
 * The delta is out of the chain, and this life of the agent did not see how. Merged by our commit, or was the VM pointed
 * at the layer below by somebody? The same QEMU process as before cannot have dropped it otherwise; of a stopped VM the
 * contents are compared. When neither proves it, the file stays.
 */
async function isProvenMerged(ports: CommandPorts, domain: ObservedDomain, intent: MergeIntent): Promise<boolean> {
  if (domain.state !== 'shut-off') return domain.runId !== undefined && domain.runId === intent.runId;
  if ((await ports.files.stat(intent.top)) === undefined) return true;
  const base = diskOf(domain, intent.target).layers.find((layer) => layer.path === intent.base);
  return (
    base !== undefined && ports.images.equal({ path: intent.top, format: 'qcow2' }, { path: base.path, format: base.format })
  );
}

function unexplained(domain: ObservedDomain, intent: MergeIntent, chain: readonly string[]): HoldfastError {
  return new HoldfastError(
    'CHAIN_UNEXPLAINED',
    `Disk ${intent.target} of VM ${domain.name} uses ${chain.join(' → ')}; expected ${intent.top} directly over ${intent.base}. Nothing was merged.`,
    { vmId: domain.uuid, target: intent.target, path: intent.top },
  );
}
