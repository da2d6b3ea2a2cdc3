import { describe, expect, it } from '@jest/globals';
import { isTimeZone, localClock, localIso } from './local-time.js';

describe('local time', () => {
  it.each([
    ['Europe/Berlin', '2026-10-25T00:30:00Z', '2026-10-25T02:30:00+02:00'],
    ['Europe/Berlin', '2026-10-25T01:30:00Z', '2026-10-25T02:30:00+01:00'],
    ['Asia/Kolkata', '2028-02-29T18:29:59Z', '2028-02-29T23:59:59+05:30'],
    ['America/St_Johns', '2027-01-01T03:29:00Z', '2026-12-31T23:59:00-03:30'],
    ['UTC', '2026-11-21T00:00:00Z', '2026-11-21T00:00:00+00:00'],
  ])('in %s %s is %s', (zone, moment, local) => {
    expect(localIso(localClock(zone)(new Date(moment)))).toBe(local);
  });

  it('knows names of zones and nothing else', () => {
    expect(['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires'].every(isTimeZone)).toBe(true);
    expect(['', 'Nowhere/Atlantis', '+02:00', 'Europe/Berlin ', '5'].some(isTimeZone)).toBe(false);
  });
});
