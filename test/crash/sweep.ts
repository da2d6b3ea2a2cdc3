/** Crash cases and findings as one call, for the runners of other suites. */
import { FINDINGS, runFindings } from './findings/index.js';
import { runCrashCases, type CrashWish } from './run-crash-cases.js';

export interface SweepWish extends CrashWish {
  /** Beginnings of names of findings; with it alone no swept case is run. */
  readonly findings?: readonly string[] | undefined;
}

/** Everything that failed, as it would have been printed. */
export class CrashFailures extends Error {
  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
  }
}

/** Runs what is wished; returns the lines of the cases that failed, with logs. */
export async function sweepCrashCases(wish: SweepWish): Promise<string[]> {
  const failures: string[] = [];
  let failing = false;
  const print = (line: string): void => {
    // What follows the line of a failed case (logs) belongs to it.
    if (/ ok \d+\.\d+s /.test(line)) failing = false;
    else if (line.includes(' FAILED ')) failing = true;
    if (failing) failures.push(line);
  };
  if (wish.operations !== undefined || wish.matching !== undefined) await runCrashCases(wish, print);
  const stray = wish.findings?.find((beginning) => !FINDINGS.some(({ name }) => name.startsWith(beginning)));
  if (stray !== undefined) throw new Error(`No finding begins with "${stray}".`);
  const chosen = FINDINGS.filter(({ name }) => wish.findings?.some((beginning) => name.startsWith(beginning)));
  await runFindings(chosen, print);
  return failures;
}
