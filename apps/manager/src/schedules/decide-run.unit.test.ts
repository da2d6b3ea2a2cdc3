import { describe, expect, it } from '@jest/globals';
import { decideRun, idleReason, MISSED_AFTER_MS, RETRY_MS, retryAt } from './decide-run.js';

const FIRE = new Date('2026-11-21T02:00:00Z');
const plus = (ms: number): Date => new Date(FIRE.getTime() + ms);
const run = (catchUp: boolean) => ({ fireAt: FIRE, runAt: FIRE, catchUp });

describe('a run whose time has come', () => {
  it('is left out when it was missed and is not to be made up for', () => {
    expect(decideRun(run(false), plus(MISSED_AFTER_MS))).toBe('fire');
    expect(decideRun(run(false), plus(MISSED_AFTER_MS + 1))).toBe('miss');
    expect(decideRun(run(true), plus(365 * 86_400_000))).toBe('fire');
  });

  it('is tried again when it was refused by what passes, is to be made up for, and the next is not due by then', () => {
    const nextDay = plus(86_400_000);
    expect(retryAt(run(true), true, nextDay, FIRE)).toEqual(plus(RETRY_MS));
    expect(retryAt(run(true), true, undefined, FIRE)).toEqual(plus(RETRY_MS));
    expect(retryAt(run(true), false, nextDay, FIRE)).toBeUndefined();
    expect(retryAt(run(false), true, nextDay, FIRE)).toBeUndefined();
    expect(retryAt(run(true), true, plus(RETRY_MS), FIRE)).toBeUndefined();
  });

  it('is none while the schedule is idle, which says why', () => {
    const vm = { name: 'web', powerState: 'Running', offeringId: 'o' };
    expect(idleReason({ enabled: true }, vm)).toBeUndefined();
    expect(idleReason({ enabled: false }, vm)).toMatch(/disabled/);
    expect(idleReason({ enabled: true }, { ...vm, powerState: 'Gone' })).toMatch(/no host knows the VM "web"/);
    expect(idleReason({ enabled: true }, { ...vm, offeringId: null })).toMatch(/no backup offering/);
  });
});
