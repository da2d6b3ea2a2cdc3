/** Taking time, on equal terms: before each measured piece of work nothing waits to be written to the disk. */
import { readFile, rm } from 'node:fs/promises';
import { run, commandError, tryRun } from '../testbed/command.js';

/** Hang guard only: no measurement decides anything. */
export const longMs = 3_600_000;

const touchFile = '/dev/shm/holdfast-bench-touch';

/**
 * The same start for everybody: nothing waits to be written, so that nobody pays for what another has written; the files that
 * will be read are in the page cache; and `touchMiB` of free memory have just been in use. The last matters on a virtual
 * machine, whose host takes free memory away and gives it back page by page, at several times the cost of the work itself.
 */
export async function settle(inputs: readonly string[], touchMiB: number): Promise<void> {
  await run(['sync'], { timeoutMs: longMs });
  for (const file of inputs) await runLong(['dd', `if=${file}`, 'of=/dev/null', 'bs=4M', 'status=none']);
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
