/** Taking time, on equal terms: before each measured piece of work nothing waits to be written to the disk. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runPath } from '../testbed/work-dir.js';
import { run, commandError, tryRun } from '../testbed/command.js';

/** Hang guard only: no measurement decides anything. */
export const longMs = 3_600_000;

/**
 * The same start for everybody: nothing waits to be written, so that nobody pays for what another has written; the files that
 * will be read are in the page cache; and `touchMiB` of the memory that new files get have just been given back. The last matters
 * on a virtual machine, whose host backs memory page by page when it is first used: whoever got fresh memory needed four
 * times the processor time for the same copy. Memory that was used by anything but a file there is not what a new file gets.
 */
export async function settle(inputs: readonly string[], touchMiB: number): Promise<void> {
  await run(['sync'], { timeoutMs: longMs });
  for (const file of inputs) await runLong(['dd', `if=${file}`, 'of=/dev/null', 'bs=4M', 'status=none']);
  const touchFile = join(runPath('bench-files'), 'touch');
  try {
    await runLong(['dd', 'if=/dev/zero', `of=${touchFile}`, 'bs=1M', `count=${await affordable(touchMiB)}`, 'status=none']);
  } finally {
    await rm(touchFile, { force: true });
  }
}

/** At most a third of what the kernel calls available: the files that were just read must not be pushed out again. */
async function affordable(mib: number): Promise<number> {
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1] ?? '0';
  return Math.min(mib, Math.floor(Number(available) / 1024 / 3));
}

/** Seconds that `work` took, after `settle`. */
export async function timed(inputs: readonly string[], touchMiB: number, work: () => Promise<unknown>): Promise<number> {
  await settle(inputs, touchMiB);
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** Runs a program to its good end, with no deadline but the hang guard. */
export async function runLong(argv: readonly string[]): Promise<void> {
  const result = await tryRun(argv, { timeoutMs: longMs });
  if (result.exitCode !== 0) throw commandError(argv, result);
}
