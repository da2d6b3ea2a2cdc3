/** Waits. Owns that a wait which nobody needs any more is no error. */
import { setTimeout } from 'node:timers/promises';

/** Resolves after so many milliseconds, or at once when `stop` fires. */
export function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return setTimeout(milliseconds, undefined, { signal: stop }).catch(() => undefined);
}
