import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { DyingJournalStore } from './dying-journal-store.js';
import { JournalStore, type Journal } from './journal.js';
import type { AcceptedOperation } from './operation-view.js';
import { actsOf, finished, RunnerBench } from './runner-bench.js';
import { markCommand, markRequest, World } from './test-command.js';

describe('an operation whose agent dies', () => {
  let bench: RunnerBench;
  beforeEach(async () => {
    bench = await RunnerBench.create();
  });
  afterEach(() => bench.end());

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
          const store = new DyingJournalStore(bench.stateDir, dieAt, written);
          const dead = await bench.abandoned(world, {
            journals: store,
            commands: { TakeBackup: markCommand(world, store.alive) },
          });
          const request = markRequest({ vmUuid: `55555555-5555-4555-8555-${String(dieAt).padStart(12, '0')}` });
          const id = request.header.operationId;
          await dead.accept('TakeBackup', request);
          const survived = await Promise.race([store.died.then(() => false), finished(dead, id).then(() => true)]);
          if (survived) break;
          const confirmed = dead.get(id).steps.filter((step) => step.state === 'Done');
          const actsBefore = world.acts.length;

          // The next life: relief comes before anything else, for whatever had begun.
          const next = await bench.started(world);
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
    const dead = await bench.abandoned(world);
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
    const next = await bench.started(world, { readyToResume: () => new Promise((resolve) => (ready = resolve)) });
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
    const runner = await bench.started(world, { journals: new FullDisk(bench.stateDir) });
    const request = markRequest();
    await runner.accept('TakeBackup', request);
    expect(await finished(runner, request.header.operationId)).toMatchObject({ state: 'Succeeded', result: { marked: 2 } });
    expect(failures).toBe(4);
    expect(world.reliefs).toBeGreaterThan(0);
  });
});
