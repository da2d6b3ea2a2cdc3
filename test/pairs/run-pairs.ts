/** Runs cells of the table on benches and reports a line per cell. Owns which cells there are and which a filter chooses. */
import { CrashBench } from '../crash/crash-bench.js';
import { OTHER_HANDS } from './other-hands.js';
import { PAIR_KINDS } from './pair-kinds.js';
import { expectedOutcome } from './pair-table.js';
import { runIntrusion, runPair } from './run-pair.js';

/** Each look afterwards reads every backup that the cells before have left. */
const CELLS_PER_BENCH = 18;
/** Longer than any cell makes it: no end comes by the way. */
const CHAIN_SIZE = 8;

interface Cell {
  /** `backup x restore`: while a backup runs, a restore arrives. */
  readonly name: string;
  readonly expected: string;
  run(bench: CrashBench): Promise<string>;
}

export interface PairReport {
  readonly passed: number;
  readonly failed: number;
}

export function allCells(): Cell[] {
  return PAIR_KINDS.flatMap((first) => {
    const cell = (second: { readonly name: string }, run: Cell['run']): Cell => ({
      name: `${first.name} x ${second.name}`,
      expected: expectedOutcome(first.name, second.name),
      run,
    });
    return [
      ...PAIR_KINDS.map((second) => cell(second, (bench) => runPair(bench, first, second))),
      ...OTHER_HANDS.filter(({ running }) => running !== true || first.off !== true).map((hand) =>
        cell(hand, (bench) => runIntrusion(bench, first, hand)),
      ),
    ];
  });
}

/** Those whose name contains one of the texts; undefined: all of them. Throws for a text that no name contains: a typing error must not look like a pass. */
export function chooseCells(wanted: readonly string[] | undefined): Cell[] {
  const all = allCells();
  const stray = wanted?.find((text) => !all.some(({ name }) => name.includes(text)));
  if (stray !== undefined) throw new Error(`No pair has "${stray}" in its name, as "backup x restore" has.`);
  return all.filter(({ name }) => wanted?.some((text) => name.includes(text)) ?? true);
}

/** Prints a line per cell, and logs with a failure. */
export async function runPairs(wanted: readonly string[] | undefined, print: (line: string) => void): Promise<PairReport> {
  const report = { passed: 0, failed: 0 };
  let bench: CrashBench | undefined;
  let used = 0;
  const renew = async (): Promise<void> => {
    const old = bench;
    bench = undefined;
    used = 0;
    await old?.destroy();
  };
  try {
    for (const cell of chooseCells(wanted)) {
      if (used === CELLS_PER_BENCH) await renew();
      bench ??= await CrashBench.create('pairs', { hosts: 2, chainSize: CHAIN_SIZE });
      used += 1;
      const began = performance.now();
      try {
        const outcome = await cell.run(bench);
        if (outcome !== cell.expected) throw new Error(`it came to "${outcome}", and should have to "${cell.expected}"`);
        report.passed += 1;
        print(`${cell.name} ok ${((performance.now() - began) / 1000).toFixed(1)}s (${outcome})`);
      } catch (error) {
        report.failed += 1;
        print(`${cell.name} FAILED ${error instanceof Error ? error.message : String(error)}`);
        print(await bench.logs());
        await renew();
      }
    }
  } finally {
    await renew();
  }
  return report;
}
