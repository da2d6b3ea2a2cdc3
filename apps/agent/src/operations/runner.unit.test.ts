import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { OperationView } from './operation-view.js';
import type { OperationRunner } from './runner.js';
import { actsOf, finished, RunnerBench, until } from './runner-bench.js';
import { markRequest, World } from './test-command.js';

describe('OperationRunner', () => {
  let bench: RunnerBench;
  beforeEach(async () => {
    bench = await RunnerBench.create();
  });
  afterEach(() => bench.end());

  it('runs an operation to its end and tells every change in order', async () => {
    const world = new World();
    const runner = await bench.started(world);
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
    const runner = await bench.started(world);
    const request = markRequest();
    const id = request.header.operationId;
    await Promise.all([runner.accept('TakeBackup', request), runner.accept('TakeBackup', request)]);
    await finished(runner, id);
    await runner.stop();
    const next = await bench.started(world);
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
    const runner = await bench.started(world);
    const first = markRequest({ fencingToken: 7n });
    await runner.accept('TakeBackup', first);
    await finished(runner, first.header.operationId);
    await runner.stop();
    const next = await bench.started(world);
    await expect(next.accept('TakeBackup', markRequest({ fencingToken: 6n }))).rejects.toMatchObject({
      code: 'FENCED',
      fields: { token: '6', highest: '7' },
    });
    await next.accept('TakeBackup', markRequest({ fencingToken: 7n }));
  });

  it('tells a command that its host was restarted since the operation was accepted', async () => {
    const world = new World();
    const told: [string, boolean][] = [];
    let standing = (): void => undefined;
    const stands = new Promise<void>((resolve) => (standing = resolve));
    world.onAct = (act, context) => {
      told.push([act, context.rebooted]);
      if (act !== 'seal' || context.rebooted) return undefined;
      standing();
      return new Promise(() => undefined);
    };
    const request = markRequest({ marks: ['a'] });
    const first = await bench.abandoned(world);
    await first.accept('TakeBackup', request);
    await stands;
    const next = await bench.started(world, { bootId: 'the next boot' });
    await finished(next, request.header.operationId);
    expect(told.map(([act, rebooted]) => `${act} ${rebooted}`)).toEqual(['mark a false', 'seal false', 'seal true', 'tidy true']);
  });

  it('works on one VM once at a time and names the operation that is busy', async () => {
    const world = new World();
    let go: () => void = () => undefined;
    world.onAct = () => new Promise((resolve) => (go = resolve));
    const runner = await bench.started(world);
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

  it('never runs more operations than the limit of the host', async () => {
    const world = new World();
    let most = 0;
    const runner = await bench.started(world, { maxConcurrentOperations: 2 });
    const go = heldUntilAllAccepted(world, () => (most = Math.max(most, runner.runningCount)));
    const requests = await acceptFive(runner);
    expect(runner.list(true).map((view) => view.state)).toEqual(['Running', 'Running', 'Queued', 'Queued', 'Queued']);
    go();
    await Promise.all(requests.map((request) => finished(runner, request.header.operationId)));
    expect(most).toBe(2);
    expect(
      actsOf(world)
        .filter((act) => act.startsWith('mark'))
        .sort(),
    ).toEqual(['mark m1', 'mark m2', 'mark m3', 'mark m4', 'mark m5']);
  });

  it('serves those who wait in the order in which they came', async () => {
    const world = new World();
    const runner = await bench.started(world, { maxConcurrentOperations: 1 });
    const go = heldUntilAllAccepted(world);
    const requests = await acceptFive(runner);
    go();
    await Promise.all(requests.map((request) => finished(runner, request.header.operationId)));
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
    const runner = await bench.started(world);
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
    const runner = await bench.started(world);
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
    const runner = await bench.started(world);
    const first = markRequest();
    await runner.accept('TakeBackup', first);
    expect(await finished(runner, first.header.operationId)).toMatchObject({ state: 'Succeeded' });
    expect(actsOf(world).filter((act) => act.startsWith('mark'))).toHaveLength(2);
    await runner.stop();

    const impatient = await bench.started(world, { undoPatienceMs: 0 });
    const lastTries: boolean[] = [];
    world.onAct = (act, context) => {
      if (act !== 'seal') return;
      lastTries.push(context.lastTry);
      if (failures-- > 0) throw new HoldfastError('IMAGE_LOCKED', 'busy');
    };
    failures = 1;
    const third = markRequest();
    await impatient.accept('TakeBackup', third);
    expect(await finished(impatient, third.header.operationId)).toMatchObject({ state: 'Succeeded' });
    expect(lastTries).toEqual([false, true]);

    failures = 2;
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
      const runner = await bench.started(world);
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
    const runner = await bench.started(world, { maxConcurrentOperations: 1 });
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
    const runner = await bench.started(world);
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
    const runner = await bench.started(world);
    const id = (await runner.accept('TakeBackup', markRequest())).operationId;
    await expect(runner.forget(id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    go();
    await finished(runner, id);
    await runner.forget(id);
    await runner.forget(id);
    expect(() => runner.get(id)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    await runner.stop();
    expect((await bench.started(world)).list(false)).toEqual([]);
  });

  it('leaves a stopped operation resumable and does not act twice', async () => {
    const world = new World();
    const runner = await bench.started(world);
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
    const next = await bench.started(world);
    const end = await finished(next, request.header.operationId);
    expect(end.state).toBe('Succeeded');
    expect(end.revision).toBeGreaterThan(before.revision);
    expect(actsOf(world)).toEqual(['mark a', 'mark b', 'seal', 'seal', 'tidy']);
  });
});

/** Holds every act until the function that it returns is called; `onAct` then sees each act. */
function heldUntilAllAccepted(world: World, onAct: () => void = () => undefined): () => void {
  let go: () => void = () => undefined;
  const allAccepted = new Promise<void>((resolve) => (go = resolve));
  world.onAct = async () => {
    await allAccepted;
    onAct();
  };
  return () => go();
}

/** Five operations for five VMs, in this order; each marks `m1` … `m5`. */
async function acceptFive(runner: OperationRunner) {
  const requests = [1, 2, 3, 4, 5].map((n) =>
    markRequest({ vmUuid: `22222222-2222-4222-8222-00000000000${n}`, marks: [`m${n}`] }),
  );
  for (const request of requests) await runner.accept('TakeBackup', request);
  return requests;
}
