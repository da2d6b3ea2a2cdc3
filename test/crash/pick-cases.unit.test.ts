import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { pickCases } from './pick-cases.js';

const sizes = { count: fc.integer({ min: 1, max: 120 }), nth: fc.integer({ min: 1, max: 150 }), fault: fc.nat({ max: 20 }) };
const casesOf = (count: number): number[] => Array.from({ length: count }, (_unused, at) => at);

describe('a fixed part of the cases of a fault', () => {
  it('has each fault strike at least once, and no more often than every nth case', () => {
    fc.assert(
      fc.property(sizes.count, sizes.nth, sizes.fault, (count, nth, fault) => {
        const picked = pickCases(casesOf(count), nth, fault);
        expect(picked.length).toBeGreaterThanOrEqual(1);
        expect(picked.length).toBeLessThanOrEqual(Math.ceil(count / Math.min(nth, count)));
      }),
    );
  });

  it('begins at another case for each fault, and takes all when nothing is left out', () => {
    expect([0, 1, 2].map((fault) => pickCases(casesOf(16), 48, fault))).toEqual([[0], [11], [6]]);
    expect(pickCases(casesOf(7), 1, 3)).toEqual(casesOf(7));
  });
});
