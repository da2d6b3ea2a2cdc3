/** What a command does past the point of no return when the hypervisor stays away. Owns the rule; waits for nothing itself. */
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';

/**
 * True: it is thrown on, and the runner repeats the pass until the hypervisor is back. False in the last try: what it was needed
 * for is left to the clean-up, like every other failure.
 */
export function waitsForHypervisor(error: HoldfastError, context: Pick<StepContext, 'lastTry'>): boolean {
  return error.code === 'HYPERVISOR_UNAVAILABLE' && !context.lastTry;
}
