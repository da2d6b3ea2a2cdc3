/** What becomes of a run whose time has come. Pure: facts and a moment in, decision out. */

/** A run that is later than this was missed: no manager ran, or it could not be made for so long. */
export const MISSED_AFTER_MS = 10 * 60_000;

/** After something that passes by itself was in the way, a run is tried again so much later. */
export const RETRY_MS = 60_000;

export interface DueRun {
  /** By the calendar. */
  readonly fireAt: Date;
  /** With jitter, or when it is tried again. */
  readonly runAt: Date;
  readonly catchUp: boolean;
}

/** `miss`: it is left out, and that is recorded. */
export function decideRun(run: DueRun, now: Date): 'fire' | 'miss' {
  return !run.catchUp && now.getTime() - run.runAt.getTime() > MISSED_AFTER_MS ? 'miss' : 'fire';
}

/**
 * When a run that was refused is tried again; undefined when it is given up: it is not to be made up for, what is in the way
 * does not pass by itself, or the next run is due by then.
 */
export function retryAt(run: DueRun, retryable: boolean, nextRunAt: Date | undefined, now: Date): Date | undefined {
  if (!run.catchUp || !retryable) return undefined;
  const again = new Date(now.getTime() + RETRY_MS);
  return nextRunAt !== undefined && nextRunAt <= again ? undefined : again;
}

/** Why a schedule does not fire at present; undefined when it does. */
export function idleReason(
  schedule: { readonly enabled: boolean },
  vm: { readonly name: string; readonly powerState: string; readonly offeringId: string | null },
): string | undefined {
  if (!schedule.enabled) return 'the schedule is disabled';
  if (vm.powerState === 'Gone') return `no host knows the VM "${vm.name}" any more`;
  if (vm.offeringId === null) return `the VM "${vm.name}" has no backup offering`;
  return undefined;
}
