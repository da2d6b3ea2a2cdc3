import { describe, expect, it } from '@jest/globals';
import { compactablePairs, compactionBackoffMs, type CompactionBackup } from './compaction.js';

const full = (id: string, state: CompactionBackup['state']): CompactionBackup => ({ id, state, type: 'FULL', parentId: null });
const on = (parentId: string, id: string, state: CompactionBackup['state'] = 'BackedUp'): CompactionBackup => ({
  id,
  state,
  type: 'INCREMENTAL',
  parentId,
});
const [a, b] = [full('a', 'Removed'), on('a', 'b')];

describe('chains that can be compacted', () => {
  it.each<[string, CompactionBackup[], string[]]>([
    ['the oldest is removed and has one child', [a, b, on('b', 'c')], ['a>b']],
    ['the child is removed itself and kept for others', [a, on('a', 'b', 'Removed'), on('b', 'c')], ['a>b']],
    ['two chains at once', [a, b, full('x', 'Removed'), on('x', 'y')], ['a>b', 'x>y']],
    [
      'a child that never was, or is gone',
      [a, b, on('a', 'f', 'Failed'), on('a', 'q', 'Queued'), on('a', 'e', 'Expunged')],
      ['a>b'],
    ],
    ['not while the oldest lives', [full('a', 'BackedUp'), b], []],
    ['not while its files could not be deleted', [full('a', 'DeleteFailed'), b], []],
    ['not with two children', [a, b, on('a', 'c')], []],
    ['not with a second child that is being taken', [a, b, on('a', 'c', 'BackingUp')], []],
    ['not into a child whose files are going', [a, on('a', 'b', 'DeleteFailed')], []],
    ['not without a child', [a, on('x', 'y')], []],
    ['not in the middle of a chain', [full('a', 'BackedUp'), on('a', 'b', 'Removed'), on('b', 'c')], []],
  ])('%s', (_case, backups, pairs) => {
    expect(compactablePairs(backups).map(({ absorbedId, childId }) => `${absorbedId}>${childId}`)).toEqual(pairs);
  });

  it('are tried again later and later, but every day', () => {
    expect([1, 2, 3, 30, 3000].map(compactionBackoffMs)).toEqual([60_000, 120_000, 240_000, 86_400_000, 86_400_000]);
  });
});
