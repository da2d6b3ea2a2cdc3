/**
 * A definition that names a layer of ours which the running VM does not have: the VM was saved with its memory before that layer
 * was put on, and woke on what is under it. Owns the proof that nothing is lost, and the way back; deletes nothing.
 */
import type { ObservedDomain, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { replaceDiskSources, stripBackingStore } from '../../hypervisor/domain-xml.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { chainPaths, observeExisting } from '../shared/observe-settled.js';

/**
 * Points the definition at the layer that the VM runs on, when `path` lies directly over it and was never written to. Returns the
 * VM as it is then; as it was when there is nothing to do, or no proof. The VM cannot be started meanwhile.
 */
export async function repointDefinition(
  ports: CommandPorts,
  context: StepContext,
  domain: ObservedDomain,
  path: string,
): Promise<ObservedDomain> {
  if (outrunIn(domain, path) === undefined) return domain;
  const wish = {
    vmUuid: domain.uuid,
    vmName: domain.name,
    operationId: context.operationId,
    doing: 'having its definition set back',
  };
  return ports.starts.whileSwitching(wish, async () => {
    const now = await observeExisting(ports, domain.uuid, context.log);
    const found = outrunIn(now, path);
    if (found === undefined) return now;
    const { target, active } = found;
    const { backingPath } = await ports.images.info(path, 'qcow2');
    if (backingPath !== active.path || !(await ports.images.isUntouched(path))) return now;
    const xml = await ports.hypervisor.domainXml(domain.uuid, 'persistent');
    const source = { target, path: active.path, format: active.format };
    await ports.hypervisor.define(stripBackingStore(replaceDiskSources(xml, [source]), [target]));
    return observeExisting(ports, domain.uuid, context.log);
  });
}

/** The disk whose next start would use `path`, while the VM runs without it. */
function outrunIn(domain: ObservedDomain, path: string): { target: string; active: ObservedLayer } | undefined {
  if (domain.state === 'shut-off' || !domain.persistent) return undefined;
  const disk = domain.disks.find(({ definedPath }) => definedPath === path);
  const active = disk?.layers[0];
  if (disk === undefined || active === undefined || chainPaths(disk).includes(path)) return undefined;
  return { target: disk.target, active };
}
