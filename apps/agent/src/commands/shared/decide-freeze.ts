/**
 * May the guest be frozen, and shall it? Asked before anything is touched: a guest that cannot be frozen although it must is
 * refused here. Owns the questions and the errors; freezes nothing.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import type { MomentWish } from './take-moment.js';

export type FreezeWish = Pick<MomentWish, 'what' | 'quiesce'>;

/**
 * GUEST_AGENT_MISSING, FREEZE_FAILED, or WRONG_STATE for a paused VM, when quiescing is required and impossible; with "try" the reason
 * is a warning. A VM that is shut off has flushed what it had.
 */
export async function decideFreeze(
  ports: CommandPorts,
  wish: FreezeWish,
  domain: ObservedDomain,
): Promise<{ freeze: boolean; warnings: string[] }> {
  if (wish.quiesce === 'no') return { freeze: false, warnings: [] };
  if (domain.state === 'shut-off') {
    return { freeze: false, warnings: [`VM ${domain.name} is not running: there is nothing to freeze.`] };
  }
  const unquiesced = (reason: string) => {
    const warnings = [`Not quiesced: ${reason}. The ${wish.what} is crash-consistent.`];
    return { freeze: false, warnings };
  };
  if (domain.state !== 'running') {
    if (wish.quiesce === 'try') return unquiesced('it is paused, so its guest cannot flush');
    throw new HoldfastError(
      'WRONG_STATE',
      `VM ${domain.name} cannot be quiesced: it is paused, so its guest cannot flush. Resume it (virsh resume), or ask for quiesce "try" or "no".`,
      { vmId: domain.uuid },
    );
  }
  if (domain.guestAgent) {
    try {
      const status = await ports.hypervisor.freezeStatus(domain.uuid, 5_000);
      if (status === 'thawed') return { freeze: true, warnings: [] };
      throw new HoldfastError(
        'FREEZE_FAILED',
        `The guest of VM ${domain.name} is frozen already, by somebody else. Thaw it (virsh domfsthaw), then try again.`,
        {
          vmId: domain.uuid,
        },
      );
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (error.code === 'FREEZE_FAILED' || error.code === 'HYPERVISOR_UNAVAILABLE') throw error;
    }
  }
  const reason = domain.guestAgent ? 'its guest agent does not answer' : 'it has no guest agent connected';
  if (wish.quiesce === 'try') return unquiesced(reason);
  throw new HoldfastError(
    'GUEST_AGENT_MISSING',
    `VM ${domain.name} cannot be quiesced: ${reason}. Install and start qemu-guest-agent in the guest, or ask for quiesce "try" or "no".`,
    { vmId: domain.uuid },
  );
}
