/**
 * Runs crash cases on benches and reports a line per case. Owns which cases exist for a filter, and that a failed case does
 * not spoil the next: its bench is thrown away.
 */
import { CrashBench } from './crash-bench.js';
import { caseName, discoverSteps, runCrashCase, type CrashCase } from './crash-case.js';
import { FAULTS } from './faults.js';
import { OPERATIONS } from './operations.js';
import { pickCases } from './pick-cases.js';

const CASES_PER_BENCH = 25;

export interface CrashWish {
  /** Names of operations; undefined: all. */
  readonly operations?: readonly string[] | undefined;
  /** Names of faults; undefined: all. */
  readonly faults?: readonly string[] | undefined;
  /** Only cases whose name contains one of these. */
  readonly matching?: readonly string[] | undefined;
  /** Takes a fixed part: for each fault, every nth case and at least one, beginning at another step for each fault. */
  readonly everyNth?: number | undefined;
}

export interface CrashReport {
  readonly passed: number;
  readonly failed: number;
}

/** Prints `<case> ok <seconds>s (<how it ended>)` or `<case> FAILED <why>`, and returns the count. */
export async function runCrashCases(wish: CrashWish, print: (line: string) => void): Promise<CrashReport> {
  demandKnown('operation', OPERATIONS, wish.operations);
  demandKnown('fault', FAULTS, wish.faults);
  if (wish.everyNth !== undefined && !(Number.isInteger(wish.everyNth) && wish.everyNth > 0))
    throw new Error('EVERY is a whole number above 0: every how many-th case of a fault is run.');
  let passed = 0;
  let failed = 0;
  for (const operation of OPERATIONS.filter((one) => wish.operations === undefined || wish.operations.includes(one.name))) {
    let bench = await CrashBench.create('crash');
    try {
      const steps = await discoverSteps(bench, operation);
      print(`${operation.name}: ${steps.length} steps`);
      const faults = FAULTS.filter((fault) => wish.faults === undefined || wish.faults.includes(fault.name));
      const cases = faults.flatMap((fault, index) => {
        const ofFault = steps.flatMap(({ step, subject }) =>
          (['before', 'after'] as const).map((phase): CrashCase => ({ operation, step, subject, phase, fault })),
        );
        return pickCases(ofFault, wish.everyNth ?? 1, index);
      });
      const wanted = cases.filter(
        (one) => wish.matching === undefined || wish.matching.some((text) => caseName(one).includes(text)),
      );
      for (const [index, testCase] of wanted.entries()) {
        // Each case looks at every backup on the storage: not too many of them.
        if (index > 0 && index % CASES_PER_BENCH === 0) {
          await bench.destroy();
          bench = await CrashBench.create('crash');
        }
        const began = Date.now();
        try {
          const words = await runCrashCase(bench, testCase);
          passed += 1;
          print(`${caseName(testCase)} ok ${seconds(began)} (${words})`);
        } catch (error) {
          failed += 1;
          print(`${caseName(testCase)} FAILED ${error instanceof Error ? error.message : String(error)}`);
          print(await bench.logs());
          await bench.destroy();
          bench = await CrashBench.create('crash');
        }
      }
    } finally {
      await bench.destroy();
    }
  }
  return { passed, failed };
}

/** A name that is mistyped must not look like a sweep without failures. */
function demandKnown(what: string, known: readonly { readonly name: string }[], wished: readonly string[] | undefined): void {
  const names = known.map(({ name }) => name);
  const unknown = wished?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`There is no ${what} "${unknown}". There are: ${names.join(', ')}.`);
}

function seconds(began: number): string {
  return `${((Date.now() - began) / 1000).toFixed(1)}s`;
}
