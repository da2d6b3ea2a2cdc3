import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, open, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestStorage } from '../testbed/test-storage.js';
import { WholeFiles } from './whole-files.js';

/** Longer than the kernel's clock for time stamps stands still. */
const TICK_MS = 20;

let dir: string;
let count = 0;
let looks = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whole-files-'));
});

afterAll(async () => {
  await rm(dir, { recursive: true });
});

async function seenWhole(): Promise<{ storage: { mounts: number }; file: string; again: (wish?: string) => Promise<string[]> }> {
  const storage = { mounts: 1 };
  count += 1;
  const file = join(dir, String(count));
  await writeFile(file, 'content');
  await utimes(file, 0, 0);
  const again = (wish = 'whole'): Promise<string[]> =>
    WholeFiles.on(storage as TestStorage).look(file, wish, async () => ((looks += 1), []));
  await again();
  await sleep(TICK_MS);
  looks = 0;
  return { storage, file, again };
}

describe('a file that was seen whole', () => {
  it('is not looked at again while it is untouched', async () => {
    const { again } = await seenWhole();
    expect(await again()).toEqual([]);
    expect(looks).toBe(0);
  });

  it.each<[string, (file: string) => Promise<void>]>([
    ['a byte of it was flipped', (file) => flip(file)],
    ['a byte of it was flipped under the old time', (file) => flip(file).then(() => utimes(file, 0, 0))],
    ['it was written anew', (file) => rm(file).then(() => writeFile(file, 'content'))],
  ])('is looked at again when %s', async (_what, touch) => {
    const { file, again } = await seenWhole();
    await touch(file);
    await again();
    expect(looks).toBe(1);
  });

  it('is looked at again when something else is asked of it, or its file system was mounted anew', async () => {
    const { storage, again } = await seenWhole();
    await again('another manifest');
    expect(looks).toBe(1);
    storage.mounts += 1;
    await again('another manifest');
    expect(looks).toBe(2);
  });

  it('is looked at again for as long as something is wrong with it', async () => {
    const { storage, file } = await seenWhole();
    const broken = (): Promise<string[]> =>
      WholeFiles.on(storage as TestStorage).look(file, 'broken', async () => ((looks += 1), ['damaged']));
    expect([await broken(), await broken()]).toEqual([['damaged'], ['damaged']]);
    expect(looks).toBe(2);
  });
});

async function flip(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write('X', 3);
  await handle.close();
}
