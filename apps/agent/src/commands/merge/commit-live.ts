/**
 * One block commit under a running guest. Owns the pivot: the guest is suspended for it alone, so that both layers are
 * identical whatever dies then (finding C). A job that somebody else runs on the disk (virsh blockcopy) is never waited for,
 * pivoted or ended. Order: job → (active layer: ready → duty "resume" durable → suspend →
 * cur = end → pivot → chain seen → resume) → chain seen → fsync.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { BlockJob } from '../../hypervisor/hypervisor.js';
import { samePath } from '../../hypervisor/observe.js';
import type { CommandPorts } from '../ports.js';
import { chainPaths, diskOf, observeExisting } from '../shared/observe-settled.js';

const POLL_MS = 100;
const PIVOT_POLL_MS = 10;
/** A suspended guest is never kept longer than this; then it is resumed and the pivot tried again. */
const LONGEST_SUSPEND_MS = 5_000;
const RESUME_PATIENCE_MS = 10_000;

/** Which layer of which disk goes into which. */
export interface MergeStep {
  readonly target: string;
  readonly path: string;
  readonly into: string;
}

/** Commits intent.path into intent.into under the running VM. Returns when the observed chain does not hold the layer any more. */
export async function commitLive(
  ports: CommandPorts,
  context: StepContext,
  domain: ObservedDomain,
  intent: MergeStep,
): Promise<void> {
  const { uuid } = domain;
  const active = chainPaths(diskOf(domain, intent.target))[0] === intent.path;
  if ((await ourJob(ports, domain, intent, active)) === undefined) {
    await ports.hypervisor.startCommit(uuid, intent.target, { top: intent.path, base: intent.into, active });
  }
  const allocated = diskOf(domain, intent.target).layers.find((layer) => layer.path === intent.path)?.allocatedBytes ?? 0n;
  for (;;) {
    const job = await ourJob(ports, domain, intent, active);
    if (job === undefined) break;
    context.progress({
      key: '',
      target: intent.target,
      phase: 'merge',
      doneBytes: job.cur,
      totalBytes: job.end > 0n ? job.end : allocated,
    });
    if (active && job.end > 0n && job.cur === job.end) {
      await pivotSuspended(ports, domain, intent);
      break;
    }
    await ports.clock.sleep(POLL_MS);
  }
  const after = chainPaths(diskOf(await observeExisting(ports, uuid, context.log), intent.target));
  if (after.includes(intent.path) || !after.includes(intent.into)) {
    throw new HoldfastError(
      'TOOL_FAILED',
      `The block commit of ${intent.path} ended, but the layer is still in the chain of ${intent.target}.`,
      {
        vmId: uuid,
        target: intent.target,
        path: intent.path,
      },
    );
  }
  await syncMerged(ports, after, intent.into);
}

/** The job of this merge; FILE_IN_USE when the disk has another one. */
async function ourJob(
  ports: CommandPorts,
  domain: ObservedDomain,
  intent: MergeStep,
  active: boolean,
): Promise<BlockJob | undefined> {
  const job = await ports.hypervisor.blockJob(domain.uuid, intent.target);
  if (job !== undefined && job.kind !== (active ? 'active-commit' : 'commit')) throw othersJob(domain, intent);
  return job;
}

function othersJob(domain: ObservedDomain, { target, path }: MergeStep): HoldfastError {
  return new HoldfastError(
    'FILE_IN_USE',
    `Somebody else runs a block job on disk ${target} of VM ${domain.name} (virsh blockjob shows it). ${path} is merged when that job has ended.`,
    { vmId: domain.uuid, target, path },
  );
}

async function pivotSuspended(ports: CommandPorts, domain: ObservedDomain, intent: MergeStep): Promise<void> {
  const { uuid } = domain;
  const onto = await ports.hypervisor.pivotTarget(uuid, intent.target);
  if (!samePath(onto, intent.into)) throw othersJob(domain, intent);
  // A guest that somebody else paused is not ours to resume.
  const suspend = domain.state === 'running';
  try {
    if (suspend) {
      await ports.duties.owe(uuid, 'resume');
      // A call that fails may have been carried out all the same.
      await ports.hypervisor.suspend(uuid);
    }
    const until = ports.clock.now() + LONGEST_SUSPEND_MS;
    for (;;) {
      const job = await ourJob(ports, domain, intent, true);
      if (job !== undefined && job.cur === job.end) break;
      if (job === undefined || ports.clock.now() > until) {
        throw new HoldfastError(
          'TOOL_FAILED',
          `The block commit of ${intent.path} did not become ready while the guest was suspended.`,
          {
            vmId: uuid,
            target: intent.target,
          },
        );
      }
      await ports.clock.sleep(PIVOT_POLL_MS);
    }
    await ports.hypervisor.pivot(uuid, intent.target);
  } finally {
    if (suspend) await ports.duties.fulfil(uuid, 'resume', RESUME_PATIENCE_MS);
  }
}

/** The receiving layer and the one above it are made durable before the merged file may go. */
export async function syncMerged(ports: Pick<CommandPorts, 'files'>, chain: readonly string[], base: string): Promise<void> {
  await ports.files.sync(base);
  const child = chain[chain.indexOf(base) - 1];
  if (child !== undefined) await ports.files.sync(child);
}
