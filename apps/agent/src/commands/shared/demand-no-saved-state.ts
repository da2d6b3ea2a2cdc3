/**
 * A stopped VM that libvirt has saved with its memory (virsh managedsave) starts from that saved state, with the disks that are
 * written down in it. Owns the refusal to change the disks under it; looks, and changes nothing.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import { withHypervisor } from './observe-settled.js';

/** WRONG_STATE when the VM is stopped and has a saved state. */
export async function demandNoSavedState(
  ports: Pick<CommandPorts, 'clock' | 'hypervisor'>,
  domain: Pick<ObservedDomain, 'uuid' | 'name' | 'state'>,
): Promise<void> {
  if (domain.state !== 'shut-off') return;
  if (!(await withHypervisor(ports, () => ports.hypervisor.hasSavedState(domain.uuid)))) return;
  throw new HoldfastError(
    'WRONG_STATE',
    `VM ${domain.name} was saved with its memory, and its next start would use the disks as they are named there. Start it and shut it down, or drop the saved state (virsh managedsave-remove), then try again.`,
    { vmId: domain.uuid },
  );
}
