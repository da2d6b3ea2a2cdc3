import { describe, expect, it } from '@jest/globals';
import { askedAtOnce } from './asked-at-once.js';

const after = <T>(ms: number, act: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    setTimeout(() => {
      try {
        resolve(act());
      } catch (error) {
        reject(error as Error);
      }
    }, ms);
  });
const fail = (name: string) => (): never => {
  throw new Error(name);
};

describe('askedAtOnce', () => {
  it('gives the answers in the order of the questions', async () => {
    expect(await askedAtOnce([after(5, () => 'a'), after(0, () => 2)])).toEqual(['a', 2]);
  });

  it('throws the first failure in order, when everything has ended', async () => {
    let ended = false;
    const questions = [after(10, () => (ended = true)), after(5, fail('first in order')), after(0, fail('first in time'))];
    await expect(askedAtOnce(questions)).rejects.toThrow('first in order');
    expect(ended).toBe(true);
  });
});
