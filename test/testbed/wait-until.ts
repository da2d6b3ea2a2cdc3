/**
 * The one waiting loop of the test bed. A deadline here is a hang guard with a clear message, never an assertion on speed.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** Long enough for a slow machine under load whose disk stalls: what has not come by then will not come. */
export const HANG_MS = 300_000;

/**
 * Repeats `probe` until it returns something other than undefined or false, and returns that.
 * Throws, naming `what`, after `timeoutMs` (default HANG_MS); the last error of the probe becomes the cause.
 */
export async function waitUntil<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? HANG_MS);
  let cause: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (Date.now() >= deadline) {
      const detail = cause instanceof Error ? `: ${cause.message}` : '';
      throw new Error(`gave up waiting until ${what}${detail}`, { cause });
    }
    await sleep(options.intervalMs ?? 50);
  }
}
