import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bigintJson } from './bigint-json.js';

describe('requests as JSON', () => {
  it('come back as they were, with bytes of any size', () => {
    const leaf = fc.oneof(fc.bigInt(), fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
    const value = fc.dictionary(
      fc.string({ minLength: 1 }).filter((key) => key !== '$bigint' && key !== '__proto__'),
      fc.oneof(leaf, fc.array(leaf)),
    );
    fc.assert(
      fc.property(value, (given) => {
        const codec = bigintJson<typeof given>();
        expect(codec.decode(JSON.parse(JSON.stringify(codec.encode(given))))).toEqual(given);
      }),
    );
  });

  it('leave undefined fields out', () => {
    expect(bigintJson<{ a?: string | undefined }>().encode({ a: undefined })).toEqual({});
  });
});
