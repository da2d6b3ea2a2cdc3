import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { jitterMs, ScheduleTimes, type Timing } from './schedule-times.js';

const BERLIN = 'Europe/Berlin';
const NOW = new Date('2026-11-21T12:00:00Z');
const timing = (when: string, more: Partial<Timing> = {}): Timing => ({ when, timeZone: 'UTC', jitterSeconds: 0, ...more });
const runs = (when: string, timeZone: string, from: string, count: number): string[] =>
  ScheduleTimes.of(timing(when, { timeZone }), NOW)
    .after(new Date(from), count)
    .map((run) => run.toISOString().slice(0, 16));

describe('the runs of a schedule', () => {
  it.each([
    [
      'a time left out in spring is made up for at the change',
      'daily at 02:30',
      '2026-03-28T12:00:00Z',
      ['2026-03-29T01:00', '2026-03-30T00:30'],
    ],
    [
      'a time that comes twice in autumn fires once',
      'daily at 02:30',
      '2026-10-24T12:00:00Z',
      ['2026-10-25T00:30', '2026-10-26T01:30'],
    ],
    ['the second pass fires nothing', 'daily at 02:30', '2026-10-25T01:00:00Z', ['2026-10-26T01:30']],
    [
      'hours go on by real time in autumn',
      'hourly',
      '2026-10-24T23:30:00Z',
      ['2026-10-25T00:00', '2026-10-25T01:00', '2026-10-25T02:00'],
    ],
    [
      'hours go on by real time in spring',
      'hourly',
      '2026-03-28T23:30:00Z',
      ['2026-03-29T00:00', '2026-03-29T01:00', '2026-03-29T02:00'],
    ],
    [
      'the 31st is left out by shorter months',
      'monthly on 31 at 02:00',
      '2026-11-21T12:00:00Z',
      ['2026-12-31T01:00', '2027-01-31T01:00', '2027-03-31T00:00'],
    ],
    [
      'the last day is that of each month',
      'monthly on 15, last at 02:00',
      '2028-02-01T12:00:00Z',
      ['2028-02-15T01:00', '2028-02-29T01:00', '2028-03-15T01:00'],
    ],
    ['a leap day comes every fourth year', '0 2 29 2 *', '2026-11-21T12:00:00Z', ['2028-02-29T01:00', '2032-02-29T01:00']],
    [
      'days of the week are those of the zone',
      'weekly on monday at 00:30',
      '2026-11-21T12:00:00Z',
      ['2026-11-22T23:30', '2026-11-29T23:30'],
    ],
  ])('%s', (_case, when, from, expected) => {
    expect(runs(when, BERLIN, from, expected.length)).toEqual(expected);
  });

  it.each<[Timing, string, RegExp]>([
    [timing('0 2 30 2 *'), 'when', /never comes/],
    [timing('0 2 31 4,6,9,11 *'), 'when', /never comes/],
    [timing('61 2 * * *'), 'when', /no cron text/],
    [timing('0 2 * * funday'), 'when', /no cron text/],
    [timing('now and then'), 'when', /daily at 02:00/],
    [timing('daily', { timeZone: 'Europe/Atlantis' }), 'timeZone', /no time zone "Europe\/Atlantis"/],
    [timing('daily', { timeZone: '+02:00' }), 'timeZone', /no time zone/],
    [timing('hourly', { jitterSeconds: 3600 }), 'jitterSeconds', /less than the 3600 seconds/],
    [timing('0 2,3 * * *', { jitterSeconds: 7200 }), 'jitterSeconds', /less than the 3600 seconds/],
  ])('%j is refused at once, with the field named', (wrong, field, words) => {
    let refusal: unknown;
    try {
      ScheduleTimes.of(wrong, NOW);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(HoldfastError);
    expect(refusal).toMatchObject({ code: 'INVALID_INPUT', fields: { field }, message: expect.stringMatching(words) });
  });

  it('come in order, the next one always after the moment that is asked about and within its jitter', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          'hourly at :15',
          'daily at 02:30',
          'weekly on sun, wed at 01:30',
          '*/20 * * * *',
          'monthly on last at 00:00',
        ),
        fc.constantFrom(BERLIN, 'UTC', 'America/St_Johns', 'Australia/Lord_Howe'),
        fc.integer({ min: 0, max: 1199 }),
        fc.date({ min: new Date('2026-01-01'), max: new Date('2029-01-01'), noInvalidDate: true }),
        fc.uuid(),
        (when, timeZone, jitterSeconds, from, id) => {
          const times = ScheduleTimes.of({ when, timeZone, jitterSeconds }, from);
          const next = times.next(id, from);
          expect(next?.fireAt.getTime()).toBeGreaterThan(from.getTime());
          const late = (next?.runAt.getTime() ?? NaN) - (next?.fireAt.getTime() ?? NaN);
          expect(late).toBeGreaterThanOrEqual(0);
          expect(late).toBeLessThanOrEqual(jitterSeconds * 1000);
          expect(times.next(id, from)).toEqual(next);
          const after = times.next(id, next?.runAt ?? from);
          expect(after?.fireAt.getTime()).toBeGreaterThan(next?.runAt.getTime() ?? Infinity);
          expect(after?.fireAt).toEqual(times.after(from, 2)[1]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('jitter spreads schedules, and runs of one schedule, over its whole width', () => {
    const width = 3600;
    const spread = Array.from({ length: 200 }, (_, n) => jitterMs(`schedule ${n}`, NOW, width));
    expect(new Set(spread.map((ms) => Math.floor(ms / 360_000))).size).toBe(10);
    expect(jitterMs('a', NOW, width)).not.toBe(jitterMs('a', new Date(NOW.getTime() + 1000), width));
    expect(jitterMs('a', NOW, 0)).toBe(0);
  });
});
