import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { journalLine, parseJournal } from './journal-lines.js';
import { JournalStore } from './journal.js';
import { foldJournal, foldSteps, type AcceptedOperation, type JournalEntry } from './operation-view.js';

const accepted: AcceptedOperation = {
  operationId: '00000000-0000-4000-8000-000000000001',
  kind: 'TakeBackup',
  vmUuid: '11111111-1111-4111-8111-111111111111',
  request: { header: {} },
  paramsHash: 'x',
  timeoutSeconds: 0,
  acceptedAtMs: 5,
  bootId: 'boot',
};
const error = { code: 'TIMED_OUT' as const, message: 'late: "é\n"', fields: { path: '/x' } };

const name = fc.constantFrom('freeze', 'copy', 'undo-merge');
const subject = fc.constantFrom('', 'vda', 'vdb');
const at = fc.nat();
const entry: fc.Arbitrary<JournalEntry> = fc.oneof(
  fc.record({ type: fc.constant('started' as const), at }),
  fc.record({
    type: fc.constant('step-intent' as const),
    at,
    name,
    subject,
    intent: fc.constantFrom({ path: '/é' }, null, [1, 'a\nb']),
  }),
  fc.record({ type: fc.constant('step-confirmed' as const), at, name, subject, result: fc.constantFrom({ n: 1 }, null) }),
  fc.record({ type: fc.constant('step-failed' as const), at, name, subject, error: fc.constant(error) }),
  fc.record({ type: fc.constant('point-of-no-return' as const), at }),
  fc.record({ type: fc.constant('warning' as const), at, message: fc.string() }),
  fc.record({ type: fc.constant('failing' as const), at, error: fc.constant(error) }),
);

describe('parseJournal', () => {
  it('gives exactly the whole lines, wherever a crash tears the file', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const bytes = Buffer.from(entries.map(journalLine).join(''));
        const ends = [...bytes.entries()].filter(([, byte]) => byte === 0x0a).map(([index]) => index + 1);
        for (let length = 0; length <= bytes.length; length++) {
          const whole = ends.filter((end) => end <= length);
          const parsed = parseJournal(bytes.subarray(0, length), 'journal');
          expect(parsed.wholeBytes).toBe(whole.at(-1) ?? 0);
          expect(parsed.entries).toEqual(entries.slice(0, whole.length));
        }
      }),
      { numRuns: 30 },
    );
  });

  it('names file and line of any other damage', () => {
    const damaged = Buffer.from(
      `${journalLine({ type: 'started', at: 1 })}{"type":"sta\n${journalLine({ type: 'resumed', at: 2 })}`,
    );
    expect(() => parseJournal(damaged, '/state/journal.jsonl')).toThrow(
      expect.objectContaining({ code: 'BUG', fields: { file: '/state/journal.jsonl', line: '2' } }),
    );
    expect(() => parseJournal(Buffer.from('{"type":"unknown","at":1}\n'), 'f')).toThrow(expect.objectContaining({ code: 'BUG' }));
  });
});

describe('foldJournal', () => {
  it('grows in revision with every entry and never loses a step', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
        let before = foldJournal(accepted, []);
        for (let length = 1; length <= entries.length; length++) {
          const view = foldJournal(accepted, entries.slice(0, length));
          expect(view.revision).toBeGreaterThan(before.revision);
          expect(view.steps.length).toBeGreaterThanOrEqual(before.steps.length);
          before = view;
        }
      }),
    );
  });

  it('keeps the intent of the first life and the result of a confirmation', () => {
    const steps = foldSteps([
      { type: 'step-intent', at: 1, name: 'copy', subject: 'vda', intent: 'first' },
      { type: 'step-failed', at: 2, name: 'copy', subject: 'vda', error },
      { type: 'step-intent', at: 3, name: 'copy', subject: 'vda', intent: 'second' },
      { type: 'step-confirmed', at: 4, name: 'copy', subject: 'vda', result: 7 },
    ]);
    expect([...steps.values()]).toEqual([{ intent: 'first', result: 7, confirmed: true }]);
  });

  it('shows state, warnings once, error and outcome', () => {
    const view = foldJournal(accepted, [
      { type: 'started', at: 10 },
      { type: 'step-intent', at: 11, name: 'copy', subject: 'vda', intent: null },
      { type: 'warning', at: 12, message: 'w' },
      { type: 'step-failed', at: 13, name: 'copy', subject: 'vda', error },
      { type: 'warning', at: 14, message: 'w' },
      { type: 'failing', at: 15, error },
      { type: 'finished', at: 16, state: 'Failed', vmOutcome: 'AsBefore', error },
    ]);
    expect(view).toMatchObject({
      state: 'Failed',
      startedAtMs: 10,
      finishedAtMs: 16,
      vmOutcome: 'AsBefore',
      error,
      warnings: ['w'],
    });
    expect(view.steps).toEqual([{ name: 'copy', subject: 'vda', state: 'Failed', startedAtMs: 11, finishedAtMs: 13 }]);
  });
});

describe('JournalStore', () => {
  let stateDir: string;
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'holdfast-journal-'));
  });
  afterEach(() => rm(stateDir, { recursive: true, force: true }));

  const folder = (): string => join(stateDir, 'operations', accepted.operationId);

  it('reads back what was appended, without a torn tail, and appends after it', async () => {
    const store = new JournalStore(stateDir);
    await store.openAll();
    const journal = await store.create(accepted);
    await Promise.all([journal.append({ type: 'started', at: 1 }), journal.append({ type: 'resumed', at: 2 })]);
    await journal.close();
    await appendFile(join(folder(), 'journal.jsonl'), '{"type":"resu');
    const [again] = await new JournalStore(stateDir).openAll();
    expect(again?.accepted).toEqual(accepted);
    await again?.append({ type: 'resumed', at: 3 });
    await again?.close();
    expect(await readFile(join(folder(), 'journal.jsonl'), 'utf8')).toBe(
      '{"type":"started","at":1}\n{"type":"resumed","at":2}\n{"type":"resumed","at":3}\n',
    );
  });

  it('does not see an operation that was half accepted or half forgotten', async () => {
    const store = new JournalStore(stateDir);
    await store.openAll();
    await (await store.create(accepted)).close();
    await rm(join(folder(), 'request.json'));
    const { rename } = await import('node:fs/promises');
    await rename(folder(), join(stateDir, 'operations', `.new-${accepted.operationId}`));
    expect(await new JournalStore(stateDir).openAll()).toEqual([]);
    expect(await readdir(join(stateDir, 'operations'))).toEqual([]);
  });

  it('refuses to start on a damaged request and names the file', async () => {
    const store = new JournalStore(stateDir);
    await store.openAll();
    await (await store.create(accepted)).close();
    await writeFile(join(folder(), 'request.json'), '{');
    await expect(new JournalStore(stateDir).openAll()).rejects.toMatchObject({
      code: 'BUG',
      fields: { file: join(folder(), 'request.json') },
    });
  });
});
