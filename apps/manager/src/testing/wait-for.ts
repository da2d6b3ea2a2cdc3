/** Waits for a state of the system under test. The deadline is a guard against hanging, never a measure. */
import { setTimeout } from 'node:timers/promises';

const GUARD_MS = 60_000;
const PAUSE_MS = 25;

/** The first value that is not undefined. */
export async function waitFor<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const until = Date.now() + GUARD_MS;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > until) throw new Error(`waited in vain for ${what}`);
    await setTimeout(PAUSE_MS);
  }
}
