import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock/clock.js';
import { silentLog } from '../logging/silent-log.js';
import { FencingTokens } from './fencing.js';
import { JournalStore, type Journal } from './journal.js';
import { noBreakpoints } from './no-breakpoints.js';
import { isFinished, type AcceptedOperation, type JournalEntry, type OperationView } from './operation-view.js';
import { OperationRunner, type RunnerOptions } from './runner.js';
import { markCommand, markRequest, World } from './test-command.js';

/** Dies (never answers again) at one append, before or after it is on disk: what a killed process leaves. */
class DyingJournalStore extends JournalStore {
  appends = 0;
  /** For the command of the dead: it does nothing more either. */
  readonly alive = (): Promise<void> => (this.appends > this.dieAt ? new Promise(() => undefined) : Promise.resolve());
  readonly died: Promise<void>;
  private die!: () => void;

  constructor(
    stateDir: string,
    private readonly dieAt: number,
    private readonly written: boolean,
  ) {
    super(stateDir);
    this.died = new Promise((resolve) => {
      this.die = resolve;
    });
  }

  override async create(accepted: AcceptedOperation): Promise<Journal> {
    const journal = await super.create(accepted);
    const append = journal.append.bind(journal);
    journal.append = async (entry: JournalEntry) => {
      const number = this.appends++;
      if (number < this.dieAt) return append(entry);
      if (number === this.dieAt && this.written) await append(entry);
      this.die();
      return new Promise<never>(() => undefined);
    };
    return journal;
  }
}

describe('OperationRunner', () => {
  let stateDir: string;
  let runners: OperationRunner[];
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'holdfast-runner-'));
    runners = [];
  });
  afterEach(async () => {
    await Promise.all(runners.map((runner) => runner.stop()));
    await rm(stateDir, { recursive: true, force: true });
  });

  function runnerOn(world: World, more: Partial<RunnerOptions> = {}): OperationRunner {
    const runner = new OperationRunner({
      journals: new JournalStore(stateDir),
      fencing: new FencingTokens(stateDir),
      commands: { TakeBackup: markCommand(world) },
      maxConcurrentOperations: 0,
      log: silentLog,
      clock: systemClock,
      breakpoints: noBreakpoints,
      undoPatienceMs: 60_000,
      backoff: { firstMs: 1, mostMs: 5 },
      ...more,
    });
    return runner;
  }

  async function started(world: World, more: Partial<RunnerOptions> = {}): Promise<OperationRunner> {
    const runner = runnerOn(world, more);
    runners.push(runner);
    await runner.recover();
    runner.resume();
    return runner;
  }

  function until(runner: OperationRunner, operationId: string, when: (view: OperationView) => boolean): Promise<OperationView> {
    return new Promise((resolve) => {
      const end = runner.watch(operationId, (view) => {
        if (!when(view)) return;
        setImmediate(() => end());
        resolve(view);
      });
    });
  }
  const finished = (runner: OperationRunner, id: string): Promise<OperationView> => until(runner, id, isFinished);
  const actsOf = (world: World): string[] => world.acts.filter((act) => act !== 'relieve');

  it('runs an operation to its end and tells every change in order', async () => {
    const world = new World();
    const runner = await started(world);
    const request = markRequest();
    const seen: OperationView[] = [];
    const accepted = await runner.accept('TakeBackup', request);
    expect(accepted).toMatchObject({ operationId: request.header.operationId, kind: 'TakeBackup' });
    runner.watch(request.header.operationId, (view) => seen.push(view));
    const end = await finished(runner, request.header.operationId);
    expect(end).toMatchObject({
      state: 'Succeeded',
      vmOutcome: 'AsAfter',
      result: { marked: 2 },
      error: undefined,
      pastPointOfNoReturn: true,
    });
    expect(end.steps.map((step) => [step.name, step.subject, step.state])).toEqual([
      ['mark', 'a', 'Done'],
      ['mark', 'b', 'Done'],
      ['seal', '', 'Done'],
      ['tidy', '', 'Done'],
    ]);
    const revisions = seen.map((view) => view.revision);
    expect(revisions).toEqual([...revisions].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(revisions).size).toBe(revisions.length);
  });

  it('answers the same id with the same operation, in any life, and refuses other parameters', async () => {
    const world = new World();
    const runner = await started(world);
    const request = markRequest();
    const id = request.header.operationId;
    await Promise.all([runner.accept('TakeBackup', request), runner.accept('TakeBackup', request)]);
    await finished(runner, id);
    await runner.stop();
    const next = await started(world);
    expect(await next.accept('TakeBackup', { ...request, header: { ...request.header, fencingToken: 9n } })).toMatchObject({
      state: 'Succeeded',
    });
    await expect(next.accept('TakeBackup', { ...request, marks: ['z'] } as typeof request)).rejects.toMatchObject({
      code: 'OPERATION_ID_REUSED',
    });
    expect(actsOf(world).sort()).toEqual(['mark a', 'mark b', 'seal', 'tidy']);
  });

  it('refuses an older fencing token for the VM, also after a restart', async () => {
    const world = new World();
    const runner = await started(world);
    const first = markRequest({ fencingToken: 7n });
    await runner.accept('TakeBackup', first);
    await finished(runner, first.header.operationId);
    await runner.stop();
    const next = await started(world);
    await expect(next.accept('TakeBackup', markRequest({ fencingToken: 6n }))).rejects.toMatchObject({
      code: 'FENCED',
      fields: { token: '6', highest: '7' },
    });
    await next.accept('TakeBackup', markRequest({ fencingToken: 7n }));
  });

  it('works on one VM once at a time and names the operation that is busy', async () => {
    const world = new World();
    let go: () => void = () => undefined;
    world.onAct = () => new Promise((resolve) => (go = resolve));
    const runner = await started(world);
    const first = markRequest({ marks: ['a'] });
    await runner.accept('TakeBackup', first);
    await expect(runner.accept('TakeBackup', markRequest())).rejects.toMatchObject({
      code: 'VM_BUSY',
      fields: { operationId: first.header.operationId },
    });
    world.onAct = () => undefined;
    await until(runner, first.header.operationId, (view) => view.steps.length > 0);
    await new Promise((resolve) => setImmediate(resolve));
    go();
    await finished(runner, first.header.operationId);
  });

  it('keeps the limit of the host and serves in order', async () => {
    const world = new World();
    let most = 0;
    const runner = await started(world, { maxConcurrentOperations: 2 });
    let go: () => void = () => undefined;
    const allAccepted = new Promise<void>((resolve) => (go = resolve));
    world.onAct = async () => {
      await allAccepted;
      most = Math.max(most, runner.runningCount);
    };
    const requests = [1, 2, 3, 4, 5].map((n) =>
      markRequest({ vmUuid: `22222222-2222-4222-8222-00000000000${n}`, marks: [`m${n}`] }),
    );
    for (const request of requests) await runner.accept('TakeBackup', request);
    expect(runner.list(true).map((view) => view.state)).toEqual(['Running', 'Running', 'Queued', 'Queued', 'Queued']);
    go();
    await Promise.all(requests.map((request) => finished(runner, request.header.operationId)));
    expect(most).toBe(2);
    expect(actsOf(world).filter((act) => act.startsWith('mark'))).toEqual([
      'mark m1',
      'mark m2',
      'mark m3',
      'mark m4',
      'mark m5',
    ]);
  });

  it('undoes what was done when a step fails, and keeps the reason', async () => {
    const world = new World();
    world.onAct = (act) => {
      if (act === 'mark b') throw new HoldfastError('STORAGE_FULL', 'No room on storage s.');
    };
    const runner = await started(world);
    const request = markRequest();
    await runner.accept('TakeBackup', request);
    const end = await finished(runner, request.header.operationId);
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'STORAGE_FULL' }, result: undefined });
    expect(end.steps.find((step) => step.subject === 'b')?.state).toBe('Failed');
    expect([...world.marks]).toEqual([]);
  });

  it('tries undo again while its error may pass, and says so when it does not', async () => {
    const world = new World();
    let failures = 3;
    world.onAct = (act) => {
      if (act === 'mark a') throw new HoldfastError('TOOL_FAILED', 'first');
      if (act === 'unmark a' && failures-- > 0) throw new HoldfastError('HYPERVISOR_UNAVAILABLE', 'libvirtd is away');
    };
    const runner = await started(world);
    const first = markRequest({ marks: ['a'] });
    await runner.accept('TakeBackup', first);
    expect(await finished(runner, first.header.operationId)).toMatchObject({
      state: 'Failed',
      vmOutcome: 'AsBefore',
      error: { code: 'TOOL_FAILED' },
    });

    world.onAct = (act) => {
      throw new HoldfastError(act.startsWith('un') ? 'IMAGE_LOCKED' : 'TOOL_FAILED', act);
    };
    const second = markRequest({ marks: ['a'] });
    await runner.accept('TakeBackup', second);
    expect(await finished(runner, second.header.operationId)).toMatchObject({
      state: 'Failed',
      vmOutcome: 'MergePending',
      error: { code: 'TOOL_FAILED', fields: { undoCode: 'IMAGE_LOCKED' } },
      warnings: ['Taking back failed: unmark a'],
    });
  });

  it('goes on forward after the point of no return, until its patience ends', async () => {
    const world = new World();
    let failures = 3;
    world.onAct = (act) => {
      if (act === 'seal' && failures-- > 0) throw new HoldfastError('IMAGE_LOCKED', 'busy');
    };
    const runner = await started(world);
    const first = markRequest();
    await runner.accept('TakeBackup', first);
    expect(await finished(runner, first.header.operationId)).toMatchObject({ state: 'Succeeded' });
    expect(actsOf(world).filter((act) => act.startsWith('mark'))).toHaveLength(2);
    await runner.stop();

    const impatient = await started(world, { undoPatienceMs: 0 });
    failures = 1;
    const second = markRequest();
    await impatient.accept('TakeBackup', second);
    expect(await finished(impatient, second.header.operationId)).toMatchObject({
      state: 'Failed',
      vmOutcome: 'MergePending',
      error: { code: 'IMAGE_LOCKED' },
    });
  });

  it('can be cancelled before every step, and is too late after the point of no return', async () => {
    for (const at of ['mark a', 'mark b', 'seal', 'tidy']) {
      const world = new World();
      const runner = await started(world);
      const request = markRequest({ vmUuid: '33333333-3333-4333-8333-333333333333' });
      const id = request.header.operationId;
      let answer: Promise<unknown> = Promise.resolve();
      world.onAct = async (act, context) => {
        if (act !== at) return;
        answer = runner.cancel(id).catch((error: HoldfastError) => error.code);
        await answer;
        if (context.signal.aborted) throw new HoldfastError('CANCELLED', 'The tool was killed.');
      };
      await runner.accept('TakeBackup', request);
      const end = await finished(runner, id);
      if (at.startsWith('mark')) {
        expect(end).toMatchObject({ state: 'Cancelled', vmOutcome: 'AsBefore', error: { code: 'CANCELLED' } });
        expect([...world.marks]).toEqual([]);
        expect(actsOf(world)).not.toContain('seal');
      } else {
        expect(await answer).toBe('WRONG_STATE');
        expect(end.state).toBe('Succeeded');
      }
      await runner.stop();
    }
  });

  it('cancels a waiting operation at once, without touching anything', async () => {
    const world = new World();
    world.onAct = () => new Promise(() => undefined);
    const runner = await started(world, { maxConcurrentOperations: 1 });
    await runner.accept('TakeBackup', markRequest());
    const waiting = markRequest({ vmUuid: '44444444-4444-4444-8444-444444444444', marks: ['w'] });
    await runner.accept('TakeBackup', waiting);
    expect(await runner.cancel(waiting.header.operationId)).toMatchObject({ state: 'Cancelled', vmOutcome: 'AsBefore' });
    expect(actsOf(world)).not.toContain('mark w');
    await expect(runner.cancel('00000000-0000-4000-8000-ffffffffffff')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('undoes an operation whose time has passed, and says which limit', async () => {
    const world = new World();
    world.onAct = (act, { signal }) =>
      act.startsWith('mark')
        ? new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(new HoldfastError('CANCELLED', 'killed'))),
          )
        : undefined;
    const runner = await started(world);
    const request = markRequest({ timeoutSeconds: 1 });
    await runner.accept('TakeBackup', request);
    expect(await finished(runner, request.header.operationId)).toMatchObject({
      state: 'Failed',
      vmOutcome: 'AsBefore',
      error: { code: 'TIMED_OUT', fields: { timeoutSeconds: '1' } },
    });
  });

  it('forgets finished operations only', async () => {
    const world = new World();
    let go: () => void = () => undefined;
    const paused = new Promise<void>((resolve) => (go = resolve));
    world.onAct = () => paused;
    const runner = await started(world);
    const id = (await runner.accept('TakeBackup', markRequest())).operationId;
    await expect(runner.forget(id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    go();
    await finished(runner, id);
    await runner.forget(id);
    await runner.forget(id);
    expect(() => runner.get(id)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    await runner.stop();
    expect((await started(world)).list(false)).toEqual([]);
  });

  it('leaves a stopped operation resumable and does not act twice', async () => {
    const world = new World();
    const runner = await started(world);
    const request = markRequest();
    let stopped: Promise<void> = Promise.resolve();
    world.onAct = (act, { signal }) => {
      if (act !== 'seal' || world.acts.filter((one) => one === 'seal').length > 1) return;
      stopped = runner.stop();
      if (signal.aborted) throw new HoldfastError('CANCELLED', 'killed with the agent');
    };
    await runner.accept('TakeBackup', request);
    await until(runner, request.header.operationId, (view) => view.pastPointOfNoReturn);
    while (actsOf(world).at(-1) !== 'seal') await new Promise((resolve) => setImmediate(resolve));
    await stopped;
    const before = runner.get(request.header.operationId);
    expect(before.state).toBe('Running');
    const next = await started(world);
    const end = await finished(next, request.header.operationId);
    expect(end.state).toBe('Succeeded');
    expect(end.revision).toBeGreaterThan(before.revision);
    expect(actsOf(world)).toEqual(['mark a', 'mark b', 'seal', 'seal', 'tidy']);
  });

  describe.each(['success', 'failure'] as const)('killed at every write of its journal (%s)', (way) => {
    const fail = (act: string): void => {
      if (way === 'failure' && act === 'mark b') throw new HoldfastError('STORAGE_FULL', 'full');
    };

    it.each([false, true])(
      'ends as after or as before, and no confirmed step acts twice (last write on disk: %s)',
      async (written) => {
        for (let dieAt = 0; ; dieAt++) {
          const world = new World();
          world.onAct = fail;
          const store = new DyingJournalStore(stateDir, dieAt, written);
          const dead = runnerOn(world, { journals: store, commands: { TakeBackup: markCommand(world, store.alive) } });
          await dead.recover();
          dead.resume();
          const request = markRequest({ vmUuid: `55555555-5555-4555-8555-${String(dieAt).padStart(12, '0')}` });
          const id = request.header.operationId;
          await dead.accept('TakeBackup', request);
          const survived = await Promise.race([store.died.then(() => false), finished(dead, id).then(() => true)]);
          if (survived) break;
          const confirmed = dead.get(id).steps.filter((step) => step.state === 'Done');
          const actsBefore = world.acts.length;

          // The next life: relief comes before anything else, for whatever had begun.
          const next = await started(world);
          const end = await finished(next, id);
          const later = world.acts.slice(actsBefore);
          if (later.length > 0 && (written || dieAt > 0)) expect(later[0]).toBe('relieve');
          for (const step of confirmed) {
            const verb = { mark: 'mark', seal: 'seal', tidy: 'tidy', 'undo-mark': 'unmark' }[step.name];
            expect(later).not.toContain([verb, step.subject].filter((word) => word !== '').join(' '));
          }
          // A failure before the kill may be gone from the journal; the repeated step fails again.
          expect(end).toMatchObject(
            way === 'success' ? { state: 'Succeeded', vmOutcome: 'AsAfter' } : { state: 'Failed', vmOutcome: 'AsBefore' },
          );
          expect([...world.marks].sort()).toEqual(way === 'success' ? ['a', 'b', 'sealed'] : []);
          await next.stop();
        }
      },
    );
  });

  it('relieves every unfinished operation before it resumes any, and goes on trying where it failed', async () => {
    const world = new World();
    world.onAct = () => new Promise(() => undefined);
    const dead = runnerOn(world);
    await dead.recover();
    dead.resume();
    const ids: string[] = [];
    for (const n of [1, 2]) {
      const request = markRequest({ vmUuid: `66666666-6666-4666-8666-00000000000${n}`, marks: [`r${n}`] });
      ids.push(request.header.operationId);
      await dead.accept('TakeBackup', request);
    }
    while (world.acts.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    world.acts.length = 0;
    world.onAct = () => undefined;
    let refusals = 3;
    world.onRelieve = () => {
      if (refusals-- > 0) throw new HoldfastError('HYPERVISOR_UNAVAILABLE', 'libvirtd is not up yet');
    };
    let ready: () => void = () => undefined;
    const next = await started(world, { readyToResume: () => new Promise((resolve) => (ready = resolve)) });
    expect(world.acts.slice(0, 2)).toEqual(['relieve', 'relieve']);
    while (world.reliefs < 5) await new Promise((resolve) => setTimeout(resolve, 2));
    expect(actsOf(world)).toEqual([]);
    ready();
    for (const id of ids) expect((await finished(next, id)).state).toBe('Succeeded');
  });

  it('treats a journal that cannot be written as a death: relieves, waits, and goes on from what is on disk', async () => {
    const world = new World();
    let failures = 0;
    class FullDisk extends JournalStore {
      override async create(accepted: AcceptedOperation): Promise<Journal> {
        const journal = await super.create(accepted);
        const append = journal.append.bind(journal);
        let count = 0;
        journal.append = (entry) => {
          if (count++ === 4 || (failures > 0 && failures < 4)) {
            failures += 1;
            return Promise.reject(new Error('ENOSPC'));
          }
          return append(entry);
        };
        return journal;
      }
    }
    const runner = await started(world, { journals: new FullDisk(stateDir) });
    const request = markRequest();
    await runner.accept('TakeBackup', request);
    expect(await finished(runner, request.header.operationId)).toMatchObject({ state: 'Succeeded', result: { marked: 2 } });
    expect(failures).toBe(4);
    expect(world.reliefs).toBeGreaterThan(0);
  });
});
