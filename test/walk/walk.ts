/**
 * A random walk: steps chosen from a seed, random kills among them, every invariant after each. Owns the order of one step
 * and what is told of it; what there is to do is in the tables beside.
 */
import { FAULTS } from '../crash/faults.js';
import { chooseStep, describeStep, type WalkState, type WalkStep } from './choose-step.js';
import { MOVES } from './moves.js';
import { Random } from './random.js';
import { WALK_OPERATIONS } from './walk-operations.js';
import { WalkBench } from './walk-bench.js';

export interface WalkWish {
  readonly seed: number;
  readonly steps: number;
  /** Of the system; unique on this machine. */
  readonly name: string;
}

/** Where a walk ended badly: its lines so far, what was wrong, the logs, and how to repeat it. */
export class WalkFailed extends Error {}

/** Prints a line for each step. Throws WalkFailed at the first thing that is wrong. */
export async function walk({ seed, steps, name }: WalkWish, print: (line: string) => void): Promise<void> {
  const random = new Random(seed);
  const lines: string[] = [];
  const say = (line: string): void => {
    lines.push(line);
    print(line);
  };
  const replay = `make walk SEED=${seed} STEPS=${steps}`;
  say(`walk of ${steps} steps, seed ${seed}; repeat it with: ${replay}`);
  const bench = await WalkBench.create(name);
  try {
    for (let number = 1; number <= steps; number += 1) {
      const state = await bench.state();
      const step = chooseStep(random, state, {
        moves: MOVES,
        operations: WALK_OPERATIONS,
        faults: FAULTS.map((one) => one.name),
      });
      // Drawn whether it is needed or not, so that a step more or less of one kind does not change all that follow.
      const chance = random.next();
      const began = Date.now();
      const text = `${number} ${describeStep(step)}`;
      try {
        const words = await takeStep(bench, step, state, chance);
        await bench.check({ asItIs: number < steps });
        say(`${text}: ${words} ${((Date.now() - began) / 1000).toFixed(1)}s`);
      } catch (error) {
        say(`${text}: FAILED`);
        const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
        const logs = await bench.crash.logs().catch(() => '');
        throw new WalkFailed(`${lines.join('\n')}\n${why}\n${logs}\nrepeat it with: ${replay}`, { cause: error });
      }
    }
  } finally {
    await bench.crash.destroy();
  }
}

async function takeStep(bench: WalkBench, step: WalkStep, state: WalkState, chance: number): Promise<string> {
  bench.crash.notes.length = 0;
  if (step.kind === 'operation') return runOperation(bench, step, state, chance);
  const move = MOVES.find(({ name }) => name === step.name);
  if (move === undefined) throw new Error(`there is no move ${step.name}`);
  const words = await move.run(bench);
  return [words ?? 'done', ...bench.crash.notes].join('; ');
}

async function runOperation(
  bench: WalkBench,
  { name, strike }: Extract<WalkStep, { kind: 'operation' }>,
  state: WalkState,
  chance: number,
): Promise<string> {
  const { crash } = bench;
  const operation = WALK_OPERATIONS.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`there is no operation ${name}`);
  await operation.prepare(crash);
  const breakpoint = strike === undefined ? undefined : await crash.strikes.setBreakpoint(strike);
  const id = await operation.start(crash, state, chance);
  if (id === undefined) {
    if (breakpoint !== undefined) await crash.strikes.clearBreakpoint(breakpoint);
    await operation.conclude(crash, '', true);
    return 'nothing to do on a host';
  }
  let struck = false;
  if (strike !== undefined && breakpoint !== undefined) {
    struck = await crash.strikes.waitForBreakpointOrEnd(breakpoint, id);
    const fault = FAULTS.find((one) => one.name === strike.fault);
    if (struck) await fault?.strike(crash);
    await crash.strikes.clearBreakpoint(breakpoint);
    if (struck) await fault?.heal(crash);
    else crash.notes.push('never came there');
  }
  const end = await crash.waitForRest(id);
  await operation.conclude(crash, id, end.succeeded);
  if (!struck && !end.succeeded) throw new Error(`an undisturbed ${name} failed: ${end.words}`);
  bench.learn(name, end.steps);
  return [end.words, ...crash.notes].join('; ');
}
