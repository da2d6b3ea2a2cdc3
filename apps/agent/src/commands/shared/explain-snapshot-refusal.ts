/**
 * Why libvirt refused a snapshot, seen from what the VM is and has, not from libvirt's words. Owns that look; changes nothing.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';

/**
 * WRONG_STATE for a VM that is off and has checkpoints (other backup tools make them): libvirt 9 refuses every snapshot of it, newer
 * ones may not, so it is found out by trying. Anything else is told as it came.
 */
export async function explainSnapshotRefusal(
  ports: Pick<CommandPorts, 'hypervisor'>,
  what: 'backup' | 'snapshot',
  domain: ObservedDomain,
  thrown: unknown,
): Promise<HoldfastError> {
  const error = HoldfastError.from(thrown);
  if (domain.state !== 'shut-off' || error.code !== 'TOOL_FAILED') return error;
  const checkpoints = await ports.hypervisor.checkpoints(domain.uuid).catch(() => []);
  if (checkpoints.length === 0) return error;
  const [noun, names] = [checkpoints.length === 1 ? 'a checkpoint' : 'checkpoints', checkpoints.join(', ')];
  return new HoldfastError(
    'WRONG_STATE',
    `This libvirt takes no snapshot of VM ${domain.name} while it is off and has ${noun} of another tool (${names}). Start the VM, or delete what that tool does not need any more (virsh checkpoint-delete), then take the ${what} again.`,
    { vmId: domain.uuid },
    { cause: error },
  );
}
