import { describe, expect, it } from '@jest/globals';
import { newestOf } from './newest-of.js';

const never = (): boolean => false;
const soon = (ms = 0): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const got: T[] = [];
  for await (const value of values) got.push(value);
  return got;
}

/** A source that is fed by the test. */
function feed<T>() {
  const values: T[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake = (): void => undefined;
  async function* source(): AsyncGenerator<T> {
    for (let at = 0; ;) {
      if (at < values.length) yield values[at++] as T;
      else if (failure !== undefined) throw failure;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  const told = (act: () => void) => (): void => {
    act();
    wake();
  };
  return {
    source: source(),
    give: (value: T) => told(() => values.push(value))(),
    end: told(() => (ended = true)),
    fail: told(() => (failure = new Error('torn'))),
  };
}

describe('newestOf', () => {
  it('gives the first at once, then the newest of those that came, and the last when it ends', async () => {
    const { source, give, end } = feed<number>();
    const got = all(newestOf(source, 60_000, never));
    for (const value of [1, 2, 3]) {
      give(value);
      await soon();
    }
    give(4);
    end();
    expect(await got).toEqual([1, 4]);
  });

  it('gives what came too soon when its time has come, without another', async () => {
    const { source, give } = feed<number>();
    const paced = newestOf(source, 20, never);
    give(1);
    expect((await paced.next()).value).toBe(1);
    give(2);
    expect((await paced.next()).value).toBe(2);
  });

  it('does not let an urgent one wait', async () => {
    const { source, give } = feed<number>();
    const paced = newestOf(source, 60_000, (value) => value === 9);
    give(1);
    expect((await paced.next()).value).toBe(1);
    give(2);
    give(9);
    expect((await paced.next()).value).toBe(9);
  });

  it('throws what the source throws, after what came before', async () => {
    const { source, give, fail } = feed<number>();
    const paced = newestOf(source, 60_000, never);
    give(1);
    expect((await paced.next()).value).toBe(1);
    give(2);
    await soon();
    fail();
    expect((await paced.next()).value).toBe(2);
    await expect(paced.next()).rejects.toThrow('torn');
  });
});
