import { describe, expect, it } from '@jest/globals';
import { decideBackup, type PolicyInput } from './chain-policy.js';

const head = { id: 'b1', chainLength: 1, storageId: 's1', continuable: true as const };
const vda = { key: 'k1', target: 'vda', deltaUsable: true as const };
const vdb = { key: 'k2', target: 'vdb', deltaUsable: 'it was attached after the last backup' };
const input = (change: Partial<PolicyInput> = {}): PolicyInput => ({
  wish: { isolated: false },
  chainSize: 3,
  head,
  selectedStorageId: 's1',
  volumes: [vda],
  ...change,
});

describe('decideBackup', () => {
  it.each<[string, Partial<PolicyInput>, RegExp]>([
    ['without an open chain', { head: undefined }, /no open backup chain/],
    ['with chain size 1', { chainSize: 1 }, /chain size is 1/],
    ['when isolated', { wish: { isolated: true } }, /isolated/],
    [
      'on a head that cannot be continued',
      { head: { ...head, continuable: 'the previous backup is damaged' } },
      /cannot be continued: the previous backup is damaged/,
    ],
    ['when another storage is selected', { selectedStorageId: 's2' }, /another secondary storage/],
    ['when the chain is longer than the size by now', { head: { ...head, chainLength: 3 } }, /holds 3 backups already/],
    ['when no volume has a usable delta', { volumes: [vdb] }, /vdb: it was attached after the last backup/],
  ])('is full, with a reason, %s', (_case, change, reason) => {
    const decision = decideBackup(input(change));
    expect(decision.type).toBe('FULL');
    expect(decision.reason).toMatch(reason);
    expect(decision.parentId).toBeUndefined();
    expect(decision.volumes.every((volume) => volume.copyInFull)).toBe(true);
  });

  it.each<[number | undefined, number, boolean]>([
    [undefined, 6, false],
    [undefined, 7, true],
    [3, 1, false],
    [3, 2, true],
    [2, 1, true],
    [0, 5000, false],
    [-1, 5000, false],
  ])('with chain size %p after %p backups: end of chain %p', (chainSize, chainLength, endOfChain) => {
    const decision = decideBackup(input({ chainSize, head: { ...head, chainLength } }));
    expect(decision).toMatchObject({ type: 'INCREMENTAL', parentId: 'b1', endOfChain, isolated: false });
    expect(decision.reason).toBeUndefined();
  });

  it('closes the chain of a single backup with chain size 1, and opens one otherwise', () => {
    expect(decideBackup(input({ chainSize: 1, head: undefined })).endOfChain).toBe(true);
    expect(decideBackup(input({ chainSize: 2, head: undefined })).endOfChain).toBe(false);
    expect(decideBackup(input({ chainSize: 0, head: undefined })).endOfChain).toBe(false);
  });

  it('never closes a chain by an isolated backup, which has no part in it', () => {
    expect(decideBackup(input({ chainSize: 1, wish: { isolated: true } }))).toMatchObject({ isolated: true, endOfChain: false });
  });

  it('copies a volume without a usable delta in full inside an incremental backup, and says why', () => {
    const decision = decideBackup(input({ volumes: [vda, vdb] }));
    expect(decision.type).toBe('INCREMENTAL');
    expect(decision.volumes).toEqual([
      { key: 'k1', copyInFull: false },
      { key: 'k2', copyInFull: true, reason: 'it was attached after the last backup' },
    ]);
  });
});
