/**
 * What a VM, running or stopped, must be before new layers are put on its disks: without problems, in a settled power state, and
 * not saved with its memory. Owns these refusals; looks, and changes nothing.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import { demandNoSavedState } from './saved-state.js';

/** The VM's first problem, or WRONG_STATE while it changes its power state or has a saved one. */
export async function demandSettledVm(
  ports: Pick<CommandPorts, 'clock' | 'hypervisor'>,
  domain: Pick<ObservedDomain, 'uuid' | 'name' | 'state' | 'problems'>,
): Promise<void> {
  const problem = domain.problems[0];
  if (problem) throw HoldfastError.fromData(problem);
  if (domain.state === 'other') {
    throw new HoldfastError(
      'WRONG_STATE',
      `VM ${domain.name} is changing its state now. Try again when it is running or stopped.`,
      { vmId: domain.uuid },
    );
  }
  await demandNoSavedState(ports, domain);
}
