/**
 * A chain that is written down in a persistent definition is obeyed at the next start, whatever the image headers say
 * (finding G). Owns its removal: before a chain is changed offline, and after it was changed live, so that the headers rule.
 */
import { stripBackingStore, targetsWithBackingStore } from '../../hypervisor/domain-xml.js';
import type { CommandPorts } from '../ports.js';
import { withHypervisor } from '../shared/observe-settled.js';

/** Takes the written-down chain of one disk out of the persistent definition, if there is one. */
export async function forgetBackingStore(ports: CommandPorts, vmUuid: string, target: string): Promise<void> {
  const xml = await withHypervisor(ports, () => ports.hypervisor.domainXml(vmUuid, 'persistent'));
  if (!targetsWithBackingStore(xml).includes(target)) return;
  await withHypervisor(ports, () => ports.hypervisor.define(stripBackingStore(xml, [target])));
}
