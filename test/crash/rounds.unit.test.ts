import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { roundOf } from './rounds.js';

const upTo = (count: number): number[] => Array.from({ length: count }, (_unused, at) => at);
const sizes = { moments: fc.integer({ min: 1, max: 60 }), faults: fc.integer({ min: 1, max: 14 }) };
const names = (pairs: [number, number][]): string[] => pairs.map(String).sort();

describe('rounds of a sweep', () => {
  it('strikes every moment once in each, in order', () => {
    fc.assert(
      fc.property(sizes.moments, sizes.faults, fc.nat({ max: 100 }), (moments, faults, round) => {
        expect(roundOf(upTo(moments), upTo(faults), round).map(([moment]) => moment)).toEqual(upTo(moments));
      }),
    );
  });

  it('are together the whole sweep, and nothing twice', () => {
    fc.assert(
      fc.property(sizes.moments, sizes.faults, (moments, faults) => {
        const rounds = upTo(faults).flatMap((round) => roundOf(upTo(moments), upTo(faults), round));
        expect(names(rounds)).toEqual(names(roundOf(upTo(moments), upTo(faults), undefined)));
      }),
    );
  });

  it('let neighbours meet different faults', () => {
    expect(roundOf(['a', 'b', 'c'], ['x', 'y'], 1)).toEqual([
      ['a', 'y'],
      ['b', 'x'],
      ['c', 'y'],
    ]);
  });
});
