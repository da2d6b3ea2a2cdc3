import { describe, expect, it } from '@jest/globals';
import { cronOf } from './calendar-text.js';

describe('calendar text', () => {
  it.each([
    ['hourly', '0 * * * *'],
    ['hourly at :15', '15 * * * *'],
    ['daily', '0 0 * * *'],
    ['  Daily  AT 2:00 ', '0 2 * * *'],
    ['weekly on monday at 02:00', '0 2 * * 1'],
    ['weekly on Fri, mon and sunday at 23:59', '59 23 * * 0,1,5'],
    ['monthly on 1 at 02:00', '0 2 1 * *'],
    ['monthly on last at 02:00', '0 2 L * *'],
    ['monthly on 1, 15 at 02:00', '0 2 1,15 * *'],
    ['0  2 * * 1-5', '0 2 * * 1-5'],
    ['*/15 * * * MON', '*/15 * * * mon'],
  ])('"%s" is %s', (text, cron) => {
    expect(cronOf(text)).toEqual({ cron });
  });

  it.each([
    ['', /five fields/],
    ['whenever', /not understood/],
    ['@daily', /not understood/],
    ['daily at noon', /no time of day/],
    ['daily at 24:00', /no time of day/],
    ['daily on monday', /takes no day/],
    ['hourly at 15', /no minute/],
    ['hourly on monday', /takes no day/],
    ['weekly at 02:00', /needs a day/],
    ['weekly on someday at 02:00', /"someday" is no day of the week/],
    ['monthly on 32 at 02:00', /no day of a month/],
    ['monthly on monday at 02:00', /no day of a month/],
    ['0 0 2 * * *', /has 6/],
    ['2026-11-21T10:00:00', /has 1/],
  ])('"%s" is refused', (text, problem) => {
    expect(cronOf(text)).toEqual({ problem: expect.stringMatching(problem) });
  });
});
