/** For tests of the runner: runners on one state directory, one after the other, and waiting for what they tell. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock/clock.js';
import { silentLog } from '../logging/silent-log.js';
import { FencingTokens } from './fencing.js';
import { JournalStore } from './journal.js';
import { noBreakpoints } from './no-breakpoints.js';
import { isFinished, type OperationView } from './operation-view.js';
import { OperationRunner, type RunnerOptions } from './runner.js';
import { markCommand, type World } from './test-command.js';

export class RunnerBench {
  private readonly runners: OperationRunner[] = [];

  private constructor(readonly stateDir: string) {}

  static async create(): Promise<RunnerBench> {
    return new RunnerBench(await mkdtemp(join(tmpdir(), 'holdfast-runner-')));
  }

  /** A started runner; stopped at the end of the test. */
  async started(world: World, more: Partial<RunnerOptions> = {}): Promise<OperationRunner> {
    const runner = await this.abandoned(world, more);
    this.runners.push(runner);
    return runner;
  }

  /** A started runner that nobody stops: it is taken for dead later. */
  async abandoned(world: World, more: Partial<RunnerOptions> = {}): Promise<OperationRunner> {
    const runner = new OperationRunner({
      journals: new JournalStore(this.stateDir),
      fencing: new FencingTokens(this.stateDir),
      commands: { TakeBackup: markCommand(world) },
      maxConcurrentOperations: 0,
      log: silentLog,
      clock: systemClock,
      breakpoints: noBreakpoints,
      bootId: 'this boot',
      undoPatienceMs: 60_000,
      backoff: { firstMs: 1, mostMs: 5 },
      ...more,
    });
    await runner.recover();
    runner.resume();
    return runner;
  }

  async end(): Promise<void> {
    await Promise.all(this.runners.map((runner) => runner.stop()));
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

/** The first view that fulfils `when`. */
export function until(
  runner: OperationRunner,
  operationId: string,
  when: (view: OperationView) => boolean,
): Promise<OperationView> {
  return new Promise((resolve) => {
    const end = runner.watch(operationId, (view) => {
      if (!when(view)) return;
      setImmediate(() => end());
      resolve(view);
    });
  });
}

export function finished(runner: OperationRunner, operationId: string): Promise<OperationView> {
  return until(runner, operationId, isFinished);
}

/** What a world was made to do, reliefs left out. */
export function actsOf(world: World): string[] {
  return world.acts.filter((act) => act !== 'relieve');
}
