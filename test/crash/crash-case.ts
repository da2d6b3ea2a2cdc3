/**
 * One crash case: operation × step × before or after × fault. Owns the way through it: prepare, stop at the breakpoint,
 * strike, release, heal, wait until everything is at rest, check every invariant on content.
 */
import type { CrashBench, End } from './crash-bench.js';
import { FAULTS, type Fault } from './faults.js';
import { OPERATIONS, type CrashOperation } from './operations.js';

export interface StepName {
  readonly step: string;
  readonly subject: string;
}

export interface CrashCase extends StepName {
  readonly operation: CrashOperation;
  readonly phase: 'before' | 'after';
  readonly fault: Fault;
}

/** A step may exist only in some members of a chain (the last one merges its own delta), so a case tries a whole chain. */
const ROUNDS = 3;

/** How the steps of a way back are named. */
const UNDO = 'undo-';

/** `TakeBackup copy.vda before agent`: also what a filter matches. */
export function caseName(testCase: CrashCase): string {
  const subject = testCase.subject === '' ? '' : `.${testCase.subject}`;
  return `${testCase.operation.name} ${testCase.step}${subject} ${testCase.phase} ${testCase.fault.name}`;
}

/** The case of such a name; undefined when it is no whole name. Whether the operation has such a step shows when it is run. */
export function caseNamed(name: string): CrashCase | undefined {
  const [, first, step, subject = '', phase, last] = /^(\S+) ([a-z-]+)(?:\.(.+))? (before|after) (\S+)$/.exec(name) ?? [];
  const operation = OPERATIONS.find((one) => one.name === first);
  const fault = FAULTS.find((one) => one.name === last);
  if (operation === undefined || fault === undefined || step === undefined) return undefined;
  return { operation, step, subject, phase: phase === 'before' ? 'before' : 'after', fault };
}

/** Runs one case; returns words on how it ended ("as after"). Throws what is wrong. */
export async function runCrashCase(bench: CrashBench, testCase: CrashCase): Promise<string> {
  const { operation, fault } = testCase;
  bench.notes.length = 0;
  for (let round = 1; ; round += 1) {
    await operation.prepare(bench);
    const breakpoint = await bench.strikes.setBreakpoint(testCase);
    const operationId = await operation.start(bench);
    const reached = await bench.strikes.waitForBreakpointOrEnd(breakpoint, operationId);
    if (reached) {
      await fault.strike(bench);
      await bench.strikes.clearBreakpoint(breakpoint);
      await fault.heal(bench);
    } else {
      await bench.strikes.clearBreakpoint(breakpoint);
      if (round >= ROUNDS) throw new Error(`the breakpoint was not reached in ${ROUNDS} runs of the operation`);
    }
    const end = await bench.waitForRest(operationId);
    await operation.conclude(bench, operationId, end.succeeded);
    // Runs on the way to the member of the chain that has the step are looked at together with the one that is struck.
    if (reached) await bench.checkInvariants();
    if (!reached) demandOrdinaryEnd(operation, end);
    if (reached) return [end.words, ...bench.notes].join('; ');
  }
}

/** The steps of an operation, from undisturbed runs over a whole chain. */
export async function discoverSteps(bench: CrashBench, operation: CrashOperation): Promise<StepName[]> {
  const steps = new Map<string, StepName>();
  for (let round = 1; round <= ROUNDS; round += 1) {
    await operation.prepare(bench);
    const operationId = await operation.start(bench);
    const end = await bench.waitForRest(operationId);
    demandOrdinaryEnd(operation, end);
    await operation.conclude(bench, operationId, end.succeeded);
    await bench.checkInvariants();
    for (const { name, subject } of end.steps) {
      if (operation.wayBack === true && !name.startsWith(UNDO)) continue;
      const symbolic = bench.symbolic(subject);
      steps.set(`${name}.${symbolic}`, { step: name, subject: symbolic });
    }
  }
  return [...steps.values()];
}

function demandOrdinaryEnd({ name, wayBack = false }: CrashOperation, end: End): void {
  if (end.succeeded === wayBack) throw new Error(`an undisturbed ${name} ended ${end.words}`);
}
