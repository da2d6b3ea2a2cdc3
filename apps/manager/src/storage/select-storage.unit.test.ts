/** Which storage takes a backup, and what is said when none can. */
import { describe, expect, it } from '@jest/globals';
import { selectStorage, type StorageCandidate } from './select-storage.js';

const storage = (id: string, freeBytes: bigint | null, change: Partial<StorageCandidate> = {}): StorageCandidate => ({
  id,
  name: `S-${id}`,
  readOnly: false,
  problem: null,
  freeBytes,
  ...change,
});
const wish = { zoneName: 'Z', fullBytes: 100n, chain: undefined };

describe('selectStorage', () => {
  it('takes the one with most free space and says so', () => {
    expect(selectStorage([storage('a', 200n), storage('b', 300n)], wish)).toEqual({
      storageId: 'b',
      reason: '"S-b" has most free space, 300 B',
    });
  });

  it('stays with the open chain while that has room for its next backup', () => {
    const chain = { storageId: 'a', neededBytes: 10n };
    expect(selectStorage([storage('a', 20n), storage('b', 300n)], { ...wish, chain }).storageId).toBe('a');
  });

  it.each([
    ['is full', storage('a', 5n)],
    ['is read-only', storage('a', 500n, { readOnly: true })],
    ['has a problem', storage('a', 500n, { problem: { code: 'STORAGE_MISSING', message: 'not mounted', fields: {} } })],
  ])('leaves the chain for another storage when its own %s, and says why', (_what, own) => {
    const choice = selectStorage([own, storage('b', 300n)], { ...wish, chain: { storageId: 'a', neededBytes: 10n } });
    expect(choice.storageId).toBe('b');
    expect(choice.reason).toContain('the open chain is on "S-a"');
  });

  it('names what is wrong with each when none takes backups', () => {
    const all = [storage('a', 500n, { readOnly: true }), storage('b', null)];
    expect(() => selectStorage(all, wish)).toThrow(
      expect.objectContaining({
        code: 'STORAGE_MISSING',
        message: expect.stringMatching(/"S-a" is read-only.*"S-b" has not been looked at/),
      }),
    );
    expect(() => selectStorage([], wish)).toThrow(expect.objectContaining({ code: 'STORAGE_MISSING' }));
  });

  it('refuses before anything is written when none has the room', () => {
    expect(() => selectStorage([storage('a', 99n)], wish)).toThrow(expect.objectContaining({ code: 'STORAGE_FULL' }));
  });
});
