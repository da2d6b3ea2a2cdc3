/**
 * One commit by qemu-img, under the image lock: of a stopped VM's layer, or of one beside the chain of a VM that may run.
 * Owns the order: commit (the layer keeps its content) → fsync of what received it → in the active chain: the child's header,
 * or the persistent definition, is pointed at it → chain seen.
 * A start of the VM in between is refused for the active layer, and harmless: the layer's content stays until the chain has
 * been seen without it.
 */
import { chainOf } from '@holdfast/shared/chain/layer-tree.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { replaceDiskSources, stripBackingStore } from '../../hypervisor/domain-xml.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { chainPaths, diskOf, observeExisting } from '../shared/observe-settled.js';
import { syncMerged, type MergeStep } from './commit-live.js';
import type { VolumeTree } from './observe-tree.js';

/** Commits step.path into step.into. Returns when the observed chain does not hold the layer (any more). */
export function commitOffline(
  ports: CommandPorts,
  context: StepContext,
  domain: ObservedDomain,
  seen: VolumeTree,
  step: MergeStep,
): Promise<void> {
  const commit = (): Promise<void> => commitNow(ports, context, domain, seen, step);
  if (step.path !== seen.tree.active) return commit();
  const wish = {
    vmUuid: domain.uuid,
    vmName: domain.name,
    operationId: context.operationId,
    doing: 'having its active layer merged',
  };
  return ports.starts.whileSwitching(wish, commit);
}

async function commitNow(
  ports: CommandPorts,
  context: StepContext,
  domain: ObservedDomain,
  { tree, formats }: VolumeTree,
  { target, path, into }: MergeStep,
): Promise<void> {
  const format = formats.get(into);
  if (format === undefined) throw new HoldfastError('BUG', `Layer ${into} is not among those that were just checked.`);
  const size = (await ports.files.stat(path))?.allocatedBytes ?? 0n;
  await ports.images.commit(path, into, {
    onProgress: (share) =>
      context.progress({
        key: '',
        target,
        phase: 'merge',
        doneBytes: BigInt(Math.round(share * Number(size))),
        totalBytes: size,
      }),
  });
  await ports.files.sync(into);
  const chain = chainOf(tree, tree.active);
  const place = chain.indexOf(path);
  if (place === -1) return;
  const child = chain[place - 1];
  if (child !== undefined) {
    await ports.images.repoint(child, { name: into, format });
  } else {
    const xml = await ports.hypervisor.domainXml(domain.uuid, 'persistent');
    await ports.hypervisor.define(stripBackingStore(replaceDiskSources(xml, [{ target, path: into, format }])));
  }
  const after = chainPaths(diskOf(await observeExisting(ports, domain.uuid, context.log), target));
  if (after.includes(path)) {
    throw new HoldfastError('TOOL_FAILED', `${path} was committed, but is still in the chain of ${target}.`, {
      vmId: domain.uuid,
      target,
      path,
    });
  }
  await syncMerged(ports, after, into);
}
