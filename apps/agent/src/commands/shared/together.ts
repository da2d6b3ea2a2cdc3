/** Several jobs of one step at once. Owns what a failure of one means to the others. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

/**
 * Runs the jobs at once; each gets a signal that also fires when another one failed. Returns their results in order when all
 * have succeeded; throws the failure that stopped the others, and only after every job has ended.
 */
export async function together<T>(signal: AbortSignal, jobs: readonly ((signal: AbortSignal) => Promise<T>)[]): Promise<T[]> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const failures: HoldfastError[] = [];
  const results = await Promise.all(
    jobs.map((job) =>
      job(either).catch((thrown: unknown): undefined => {
        failures.push(HoldfastError.from(thrown));
        stop.abort();
        return undefined;
      }),
    ),
  );
  // A job that was only stopped says CANCELLED, and that is never the reason.
  const failure = failures.find((error) => error.code !== 'CANCELLED') ?? failures[0];
  if (failure) throw failure;
  return results as T[];
}
