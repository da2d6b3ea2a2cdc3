/** Which host a VM is on, when two know it. */
import { describe, expect, it } from '@jest/globals';
import { isTaken } from './choose-host.js';

describe('isTaken', () => {
  it.each([
    ['A', 'Running', 'A', 'Stopped', true],
    ['A', 'Running', 'B', 'Stopped', false],
    ['A', 'Stopped', 'B', 'Stopped', false],
    ['A', 'Stopped', 'B', 'Running', true],
    ['A', 'Running', 'B', 'Running', true],
    ['A', 'Running', 'B', 'Paused', false],
    ['A', 'Stopped', 'B', 'Paused', true],
    ['A', 'Gone', 'B', 'Stopped', true],
    ['A', 'Unknown', 'B', 'Stopped', false],
    ['A', 'Unknown', 'A', 'Stopped', true],
    ['A', 'Unknown', 'B', 'Running', true],
    ['A', 'Unknown', 'B', 'Paused', true],
    [null, 'Gone', 'B', 'Stopped', true],
  ] as const)('known on %s as %s, seen on %s as %s: %s', (hostId, powerState, seenOn, seen, taken) => {
    expect(isTaken({ hostId, powerState }, seenOn, seen)).toBe(taken);
  });
});
