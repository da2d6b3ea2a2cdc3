/**
 * Runs crash cases on benches and reports a line per case. Owns which cases exist for a filter, and that a failed case does
 * not spoil the next: its bench is thrown away.
 */
import { CrashBench } from './crash-bench.js';
import { caseName, caseNamed, discoverSteps, runCrashCase, type CrashCase } from './crash-case.js';
import { FAULTS } from './faults.js';
import { OPERATIONS, type CrashOperation } from './operations.js';
import { roundOf } from './rounds.js';

/** Each case looks at every backup on the storage: not too many of them. */
const CASES_PER_BENCH = 25;

export interface CrashWish {
  /** Names of operations; undefined: all. */
  readonly operations?: readonly string[] | undefined;
  /** Names of faults; undefined: all. */
  readonly faults?: readonly string[] | undefined;
  /**
   * Only cases whose name contains one of these. When all of them are whole names, these are run in that order, and nobody has
   * to find out the steps of the operations first.
   */
  readonly matching?: readonly string[] | undefined;
  /** Only this round of the sweep (0 up to the number of faults): each step before and after, by one fault each. */
  readonly round?: number | undefined;
}

export interface CrashReport {
  readonly passed: number;
  readonly failed: number;
}

/** Prints `<case> ok <seconds>s (<how it ended>)` or `<case> FAILED <why>`, and returns the count. */
export async function runCrashCases(wish: CrashWish, print: (line: string) => void): Promise<CrashReport> {
  demandKnown('operation', OPERATIONS, wish.operations);
  demandKnown('fault', FAULTS, wish.faults);
  if (wish.round !== undefined && !(Number.isInteger(wish.round) && wish.round >= 0))
    throw new Error('ROUND is a whole number: which of the parts that strike every step once is run.');
  const runner = new CaseRunner(print);
  try {
    const named = wish.matching?.map((text) => caseNamed(text)) ?? [];
    const whole = named.filter((one) => one !== undefined);
    if (named.length > 0 && whole.length === named.length) {
      if (wish.operations !== undefined || wish.faults !== undefined || wish.round !== undefined)
        throw new Error('CASES has whole names: these are run. Leave OPERATIONS, FAULTS and ROUND out.');
      await runner.run(whole);
    } else {
      for (const operation of OPERATIONS.filter(({ name }) => wish.operations?.includes(name) ?? true)) {
        const cases = await runner.casesOf(operation, wish);
        const wanted = cases.filter((one) => wish.matching?.some((text) => caseName(one).includes(text)) ?? true);
        await runner.run(wanted);
        // The next operation's steps are found out where no other one was.
        await runner.renew();
      }
    }
  } finally {
    await runner.renew();
  }
  return runner;
}

/** One bench after another, and the count of what was seen on them. */
class CaseRunner implements CrashReport {
  passed = 0;
  failed = 0;
  private bench: CrashBench | undefined;
  private used = 0;

  constructor(private readonly print: (line: string) => void) {}

  async run(cases: readonly CrashCase[]): Promise<void> {
    for (const testCase of cases) {
      if (this.used >= CASES_PER_BENCH) await this.renew();
      this.used += 1;
      const bench = await this.current();
      const began = performance.now();
      try {
        const words = await runCrashCase(bench, testCase);
        this.passed += 1;
        this.print(`${caseName(testCase)} ok ${((performance.now() - began) / 1000).toFixed(1)}s (${words})`);
      } catch (error) {
        this.failed += 1;
        this.print(`${caseName(testCase)} FAILED ${error instanceof Error ? error.message : String(error)}`);
        this.print(await bench.logs());
        await this.renew();
      }
    }
  }

  /** Every case of an operation that faults and round leave, after undisturbed runs that show its steps. */
  async casesOf(operation: CrashOperation, wish: CrashWish): Promise<CrashCase[]> {
    const steps = await discoverSteps(await this.current(), operation);
    const words = steps.map(({ step, subject }) => (subject === '' ? step : `${step}.${subject}`));
    this.print(`${operation.name}: ${steps.length} steps: ${words.join(', ')}`);
    const moments = steps.flatMap((step) => (['before', 'after'] as const).map((phase) => ({ ...step, phase })));
    const faults = FAULTS.filter(({ name }) => wish.faults?.includes(name) ?? true);
    return roundOf(moments, faults, wish.round).map(([moment, fault]) => ({ operation, ...moment, fault }));
  }

  /** Throws the bench away; the next case gets another one. */
  async renew(): Promise<void> {
    const old = this.bench;
    this.bench = undefined;
    this.used = 0;
    await old?.destroy();
  }

  private async current(): Promise<CrashBench> {
    return (this.bench ??= await CrashBench.create('crash'));
  }
}

/** A name that is mistyped must not look like a sweep without failures. */
function demandKnown(what: string, known: readonly { readonly name: string }[], wished: readonly string[] | undefined): void {
  const names = known.map(({ name }) => name);
  const unknown = wished?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`There is no ${what} "${unknown}". There are: ${names.join(', ')}.`);
}
