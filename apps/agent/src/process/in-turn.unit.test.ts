import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { InTurn } from './in-turn.js';

describe('works in turn', () => {
  it('run one after the other for one key, after a failed one too, and at once for two', async () => {
    const turns = new InTurn();
    const seen: string[] = [];
    const work = (name: string, ms: number) => async (): Promise<string> => {
      seen.push(`${name} begins`);
      await sleep(ms);
      seen.push(`${name} ends`);
      if (name === 'first') throw new Error('first failed');
      return name;
    };
    const first = turns.run('a', work('first', 20));
    const second = turns.run('a', work('second', 0));
    const other = turns.run('b', work('other', 1));
    await expect(first).rejects.toThrow('first failed');
    expect(await Promise.all([second, other])).toEqual(['second', 'other']);
    expect(seen).toEqual(['first begins', 'other begins', 'other ends', 'first ends', 'second begins', 'second ends']);
  });
});
