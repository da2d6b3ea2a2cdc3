/**
 * One commit of a stopped VM's layer by qemu-img, under the image lock. Owns the order: commit (top keeps its content) →
 * fsync of base → the child's header, or the persistent definition, is pointed at base → chain seen.
 * A start of the VM in between is refused for the active layer, and harmless: the content of top stays until the chain has
 * been seen without it.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { replaceDiskSources, stripBackingStore } from '../../hypervisor/domain-xml.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { chainPaths, diskOf, observeExisting } from '../shared/observe-settled.js';
import { syncMerged } from './commit-live.js';
import type { MergeIntent } from './merge-deltas.js';

/** Commits intent.top into intent.base of a stopped VM. Returns when the observed chain does not hold top any more. */
export function commitOffline(
  ports: CommandPorts,
  context: StepContext,
  domain: ObservedDomain,
  intent: MergeIntent,
): Promise<void> {
  const commit = (): Promise<void> => commitNow(ports, context, domain, intent);
  if (chainPaths(diskOf(domain, intent.target))[0] !== intent.top) return commit();
  const wish = {
    vmUuid: domain.uuid,
    vmName: domain.name,
    operationId: context.operationId,
    doing: 'having its active layer merged',
  };
  return ports.starts.whileSwitching(wish, commit);
}

async function commitNow(ports: CommandPorts, context: StepContext, domain: ObservedDomain, intent: MergeIntent): Promise<void> {
  const disk = diskOf(domain, intent.target);
  const chain = chainPaths(disk);
  const base = disk.layers.find((layer) => layer.path === intent.base);
  if (base === undefined) throw new HoldfastError('BUG', `Layer ${intent.base} is not in the chain that was just checked.`);
  const top = disk.layers.find((layer) => layer.path === intent.top);
  await ports.images.commit(intent.top, intent.base, {
    onProgress: (share) =>
      context.progress({
        key: '',
        target: intent.target,
        phase: 'merge',
        doneBytes: BigInt(Math.round(share * Number(top?.allocatedBytes ?? 0n))),
        totalBytes: top?.allocatedBytes ?? 0n,
      }),
  });
  await ports.files.sync(intent.base);
  const child = chain[chain.indexOf(intent.top) - 1];
  if (child !== undefined) {
    await ports.images.repoint(child, { name: intent.base, format: base.format });
  } else {
    const xml = await ports.hypervisor.domainXml(domain.uuid, 'persistent');
    await ports.hypervisor.define(
      stripBackingStore(replaceDiskSources(xml, [{ target: intent.target, path: intent.base, format: base.format }])),
    );
  }
  const after = chainPaths(diskOf(await observeExisting(ports, domain.uuid, context.log), intent.target));
  if (after.includes(intent.top)) {
    throw new HoldfastError('TOOL_FAILED', `${intent.top} was committed, but is still in the chain of ${intent.target}.`, {
      vmId: domain.uuid,
      target: intent.target,
      path: intent.top,
    });
  }
  await syncMerged(ports, after, intent.base);
}
