/** Taking time, on equal terms: before each measured piece of work nothing waits to be written to the disk. */
import { run, commandError, tryRun } from '../testbed/command.js';

/** Hang guard only: no measurement decides anything. */
export const longMs = 3_600_000;

/**
 * The same start for everybody: nothing waits to be written, so that nobody pays for what another has written, and the files
 * that will be read are in the page cache, whatever else the machine has done meanwhile.
 */
export async function settle(inputs: readonly string[]): Promise<void> {
  await run(['sync'], { timeoutMs: longMs });
  for (const file of inputs) await runLong(['dd', `if=${file}`, 'of=/dev/null', 'bs=4M', 'status=none']);
}

/** Seconds that `work` took, after `settle`. */
export async function timed(inputs: readonly string[], work: () => Promise<unknown>): Promise<number> {
  await settle(inputs);
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** Runs a program to its good end, with no deadline but the hang guard. */
export async function runLong(argv: readonly string[]): Promise<void> {
  const result = await tryRun(argv, { timeoutMs: longMs });
  if (result.exitCode !== 0) throw commandError(argv, result);
}
