/** Taking time, on equal terms: before each measured piece of work nothing waits to be written to the disk. */
import { run, commandError, tryRun } from '../testbed/command.js';

/** Hang guard only: no measurement decides anything. */
export const longMs = 3_600_000;

/** Writes out everything that is still in memory, so that nobody pays for what another has written. */
export async function settle(): Promise<void> {
  await run(['sync'], { timeoutMs: longMs });
}

/** Seconds that `work` took, after `settle`. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  await settle();
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** Runs a program to its good end, with no deadline but the hang guard. */
export async function runLong(argv: readonly string[]): Promise<void> {
  const result = await tryRun(argv, { timeoutMs: longMs });
  if (result.exitCode !== 0) throw commandError(argv, result);
}
