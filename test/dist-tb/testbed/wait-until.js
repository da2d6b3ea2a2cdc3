/**
 * The one waiting loop of the test bed. A deadline here is a hang guard with a clear message, never an assertion on speed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
/**
 * Repeats `probe` until it returns something other than undefined or false, and returns that.
 * Throws, naming `what`, after `timeoutMs` (default 60 000); the last error of the probe becomes the cause.
 */
export async function waitUntil(what, probe, options = {}) {
    const deadline = Date.now() + (options.timeoutMs ?? 60_000);
    let cause;
    for (;;) {
        try {
            const value = await probe();
            if (value !== undefined && value !== false)
                return value;
            cause = undefined;
        }
        catch (error) {
            cause = error;
        }
        if (Date.now() >= deadline) {
            const detail = cause instanceof Error ? `: ${cause.message}` : '';
            throw new Error(`gave up waiting until ${what}${detail}`, { cause });
        }
        await sleep(options.intervalMs ?? 50);
    }
}
