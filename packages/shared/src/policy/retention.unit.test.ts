import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decideRetention, retentionProblem, type RetainableBackup, type RetentionPolicy } from './retention.js';

const BERLIN = 'Europe/Berlin';
const at = (iso: string, more: Partial<RetainableBackup> = {}): RetainableBackup => ({
  id: iso,
  order: BigInt(Date.parse(iso)),
  frozenAt: new Date(iso),
  protected: false,
  ...more,
});
const kept = (backups: readonly RetainableBackup[], policy: RetentionPolicy, zone = 'UTC'): string[] =>
  decideRetention(backups, policy, zone)
    .filter((verdict) => verdict.keep)
    .map((verdict) => verdict.id);

describe('retention', () => {
  it('keeps the newest of each period, and says which rule keeps what and which does not', () => {
    const backups = ['2026-11-20T02:00Z', '2026-11-20T14:00Z', '2026-11-21T02:00Z', '2026-11-19T02:00Z'].map((iso) => at(iso));
    expect(decideRetention(backups, { keepLast: 1, keepDaily: 2 }, 'UTC')).toEqual([
      {
        id: '2026-11-21T02:00Z',
        keep: true,
        reasons: ['it is the newest', 'keepLast: the newest backup', 'keepDaily: the newest of the day 2026-11-21'],
      },
      { id: '2026-11-20T14:00Z', keep: true, reasons: ['keepDaily: the newest of the day 2026-11-20'] },
      {
        id: '2026-11-20T02:00Z',
        keep: false,
        reasons: ['keepLast: older than the newest backup', 'keepDaily: a newer backup stands for the day 2026-11-20'],
      },
      {
        id: '2026-11-19T02:00Z',
        keep: false,
        reasons: ['keepLast: older than the newest backup', 'keepDaily: older than the newest 2 days'],
      },
    ]);
  });

  it('draws the borders of days, weeks, months and years in the zone of the schedule', () => {
    // 00:30 on Monday, 1 January 2029 in Berlin; still Sunday, 31 December 2028 in UTC.
    const [before, after] = [at('2028-12-31T12:00Z'), at('2028-12-31T23:30Z')];
    for (const rule of ['keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const) {
      expect([rule, kept([before, after], { [rule]: 5 }, BERLIN)]).toEqual([rule, [after.id, before.id]]);
      expect([rule, kept([before, after], { [rule]: 5 })]).toEqual([rule, [after.id]]);
    }
  });

  it('takes the two passes of a repeated hour for two hours', () => {
    const both = [at('2026-10-25T00:30Z'), at('2026-10-25T01:30Z')];
    expect(kept(both, { keepHourly: 5 }, BERLIN)).toHaveLength(2);
    expect(kept([at('2026-10-25T00:10Z'), at('2026-10-25T00:30Z')], { keepHourly: 5 }, BERLIN)).toHaveLength(1);
  });

  it('begins weeks on Monday, across the ends of months and years', () => {
    const days = ['2027-12-26', '2027-12-27', '2028-01-02', '2028-01-03', '2028-02-29'].map((day) => at(`${day}T12:00Z`));
    expect(kept(days, { keepWeekly: 9 })).toEqual(
      ['2028-02-29', '2028-01-03', '2028-01-02', '2027-12-26'].map((day) => `${day}T12:00Z`),
    );
  });

  it('takes the last one made for the newest, although a clock that jumped back says otherwise', () => {
    const [before, after] = [at('2026-11-21T02:00Z', { order: 1n }), at('2026-11-01T02:00Z', { order: 2n })];
    for (const policy of [{ maxBackups: 1 }, { keepDaily: 1 }]) expect(kept([before, after], policy)).toEqual([after.id]);
  });

  it('never lets a protected one go, and lets it take no place of the others', () => {
    const backups = [1, 2, 3, 4].map((day) => at(`2026-11-0${day}T02:00Z`, { protected: day === 1 || day === 3 }));
    expect(kept(backups, { maxBackups: 2 })).toEqual([4, 3, 2, 1].map((day) => `2026-11-0${day}T02:00Z`));
    expect(kept(backups, { maxBackups: 1 })).toEqual([4, 3, 1].map((day) => `2026-11-0${day}T02:00Z`));
  });

  it.each<[RetentionPolicy, RegExp | undefined]>([
    [{}, /no backup at all/],
    [{ keepDaily: 0, keepLast: 0 }, /no backup at all/],
    [{ maxBackups: 0 }, /no backup at all/],
    [{ maxBackups: 3, keepDaily: 7 }, /not both/],
    [{ maxBackups: 3 }, undefined],
    [{ keepLast: 0, keepYearly: 1 }, undefined],
  ])('judges the policy %j', (policy, problem) => {
    if (problem === undefined) expect(retentionProblem(policy)).toBeUndefined();
    else expect(retentionProblem(policy)).toMatch(problem);
  });
});

const START = Date.UTC(2026, 9, 24);
const moments = fc.integer({ min: 0, max: 900 * 24 }).map((hours) => new Date(START + hours * 3_600_000));
const someBackups = fc
  .array(fc.record({ frozenAt: moments, protected: fc.boolean() }), { maxLength: 40 })
  .map((list) => list.map((one, index): RetainableBackup => ({ ...one, id: `${97 - index}`, order: BigInt(index) })));
const count = fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined });
const somePolicy = fc
  .record({
    keepLast: count,
    keepHourly: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
    keepYearly: count,
  })
  .filter((policy) => retentionProblem(policy) === undefined);
const someZone = fc.constantFrom('UTC', BERLIN, 'Asia/Kolkata', 'America/St_Johns');

describe('retention, whatever the backups', () => {
  const idsOf = (backups: readonly RetainableBackup[], keep: boolean, policy: RetentionPolicy, zone: string): string[] =>
    decideRetention(backups, policy, zone)
      .filter((verdict) => verdict.keep === keep)
      .map((verdict) => verdict.id)
      .sort();

  it('maxBackups keeps exactly so many, and every protected one besides', () => {
    fc.assert(
      fc.property(someBackups, fc.integer({ min: 1, max: 50 }), (backups, maxBackups) => {
        const verdicts = decideRetention(backups, { maxBackups }, 'UTC');
        const free = backups.filter((backup) => !backup.protected);
        const stay = verdicts.filter((verdict) => verdict.keep).map((verdict) => verdict.id);
        expect(stay.filter((id) => free.some((one) => one.id === id))).toHaveLength(Math.min(maxBackups, free.length));
        for (const one of backups.filter((backup) => backup.protected)) expect(stay).toContain(one.id);
      }),
    );
  });

  it('keeps the newest, names a reason for each, does not mind the order, and has nothing to do a second time', () => {
    fc.assert(
      fc.property(someBackups, somePolicy, someZone, (backups, policy, zone) => {
        const verdicts = decideRetention(backups, policy, zone);
        expect(verdicts).toHaveLength(backups.length);
        expect(verdicts.every((verdict) => verdict.reasons.length > 0)).toBe(true);
        if (backups.length > 0) expect(verdicts[0]).toMatchObject({ id: backups.at(-1)?.id, keep: true });
        expect(decideRetention([...backups].reverse(), policy, zone)).toEqual(verdicts);
        const left = backups.filter((backup) => verdicts.some((verdict) => verdict.id === backup.id && verdict.keep));
        expect(idsOf(left, false, policy, zone)).toEqual([]);
      }),
    );
  });

  it('what goes would not have come back by newer backups', () => {
    fc.assert(
      fc.property(someBackups, somePolicy, someZone, fc.integer({ min: 0, max: 40 }), (backups, policy, zone, cut) => {
        const gone = idsOf(backups.slice(0, cut), false, policy, zone);
        expect(idsOf(backups, false, policy, zone)).toEqual(expect.arrayContaining(gone));
      }),
    );
  });

  it('a larger number never keeps less', () => {
    fc.assert(
      fc.property(someBackups, somePolicy, someZone, (backups, policy, zone) => {
        const more = Object.fromEntries(Object.entries(policy).map(([rule, value]) => [rule, (value ?? 0) + 1]));
        expect(idsOf(backups, true, more, zone)).toEqual(expect.arrayContaining(idsOf(backups, true, policy, zone)));
      }),
    );
  });
});
