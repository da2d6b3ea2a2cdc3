import { describe, expect, it } from '@jest/globals';
import { pairsElsewhere, type VolumeElsewhere } from './guard-elsewhere.js';
import type { GuardPair } from './guard-record.js';

const BASE = '/p/vol.qcow2';
const D0 = '/p/vol.00000000-0000-4000-8000-000000000000.hf.qcow2';
const D1 = '/p/vol.11111111-1111-4111-8111-111111111111.hf.qcow2';
const D2 = '/p/vol.22222222-2222-4222-8222-222222222222.hf.qcow2';

/** What the hook would name as the right file for a start from `file`. */
function named(pairs: readonly GuardPair[], file: string, there: readonly string[]): string | undefined {
  return pairs.find(([stale, right]) => stale === file && there.includes(right))?.[1];
}

function volume(layers: string[], more: Partial<VolumeElsewhere> = {}): VolumeElsewhere {
  return { layers, planned: [], certain: true, ...more };
}

const told = (before: readonly GuardPair[], there: readonly string[], ...volumes: VolumeElsewhere[]): Promise<GuardPair[]> =>
  pairsElsewhere(before, volumes, async (path) => there.includes(path));

describe('what is told of a VM on another host', () => {
  it('holds through the whole of a backup that is told of before it acts', async () => {
    const before = [BASE, D0];
    const pairs = await told([], before, volume([D0, BASE], { planned: [D1] }));
    // Not taken yet: the layers are as they were.
    expect(named(pairs, BASE, before)).toBe(D0);
    expect(named(pairs, D0, before)).toBeUndefined();
    // Taken, then the layer below merged, then the new one as well.
    expect([BASE, D0].map((file) => named(pairs, file, [BASE, D0, D1]))).toEqual([D1, D1]);
    expect(named(pairs, BASE, [BASE, D1])).toBe(D1);
    expect(named(pairs, BASE, [BASE])).toBeUndefined();
  });

  it('forgets what never came and what is gone', async () => {
    const there = [BASE, D0];
    const failed = await told(await told([], there, volume([D0, BASE], { planned: [D1] })), there, volume([D0, BASE]));
    expect(failed).toEqual([[BASE, D0]]);
    expect(await told([[D0, D1]], [BASE, D1], volume([D1, BASE]))).toEqual([[BASE, D1]]);
  });

  it('keeps its word when a stopped VM may have been pointed at a stale layer', async () => {
    const there = [BASE, D0, D1];
    const known = await told([], there, volume([D1, D0, BASE]));
    const doubtful = await told(known, there, volume([D0, BASE], { certain: false }));
    expect([BASE, D0].map((file) => named(doubtful, file, there))).toEqual([D1, D1]);
    expect(await told(known, there, volume([], { certain: false }))).toEqual(known);
  });

  it('calls right what certainly is, also while the layer over it is still there', async () => {
    const there = [BASE, D0, D1];
    const known = await told([], there, volume([D1, D0, BASE]));
    const back = await told(known, there, volume([D0, BASE]));
    expect(named(back, D0, there)).toBeUndefined();
    expect(named(back, BASE, there)).toBe(D0);
  });

  it('names the newest of several layers, and what is planned over it', async () => {
    const there = [BASE, D0, D1];
    const known = await told([], there, volume([D0, BASE], { planned: [D1] }));
    const next = await told(known, there, volume([D1, D0, BASE], { planned: [D2] }));
    expect([BASE, D0, D1].map((file) => named(next, file, there))).toEqual([D1, D1, undefined]);
    expect([BASE, D0, D1].map((file) => named(next, file, [...there, D2]))).toEqual([D2, D2, D2]);
    expect(next).toHaveLength(new Set(next.map((pair) => pair.join())).size);
  });

  it('leaves a chain without layers of ours alone, each volume by itself', async () => {
    expect(await told([], ['/q/mine', '/q/b', BASE, D1], volume(['/q/mine', '/q/b']), volume([D1, BASE]))).toEqual([[BASE, D1]]);
  });
});
