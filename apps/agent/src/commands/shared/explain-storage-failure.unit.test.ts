/** What is said when work on a storage failed: decided by a look at the storage, never by a tool's words. */
import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { explainStorageFailure, type FailurePlace } from './explain-storage-failure.js';

const STORAGE: FailurePlace = { kind: 'storage', name: 'nas', path: '/mnt/nas' };
const PRIMARY: FailurePlace = { kind: 'primary', name: '/images/vm', path: '/images/vm' };
const FAILED = new HoldfastError('TOOL_FAILED', 'qemu-img failed', { tool: 'qemu-img' });
const LATE = new HoldfastError('TIMED_OUT', 'qemu-img was killed.', { tool: 'qemu-img' });

interface Look {
  readonly there?: readonly string[];
  readonly freeBytes?: bigint;
  readonly writable?: boolean;
  readonly hangs?: boolean;
}

/** What is said of a place that looks like that. */
function explain(place: FailurePlace, thrown: unknown, look: Look = {}): Promise<HoldfastError> {
  const { there = ['/mnt/nas/holdfast.json', '/images/vm'], freeBytes = 1n << 30n, writable = true, hangs = false } = look;
  const files = {
    stat: async (path: string) => {
      if (hangs) throw new HoldfastError('STORAGE_HANGING', 'late');
      return there.includes(path) ? { kind: 'directory' } : undefined;
    },
    space: async () => ({ totalBytes: 1n << 40n, freeBytes }),
    isWritable: async () => writable,
  };
  return explainStorageFailure({ files } as never, place, thrown);
}

describe('explainStorageFailure', () => {
  it.each([
    [
      STORAGE,
      { there: ['/mnt/nas'] },
      'STORAGE_MISSING',
      'Secondary storage "nas" is gone: /mnt/nas/holdfast.json does not exist.',
    ],
    [PRIMARY, { there: [] }, 'STORAGE_MISSING', 'Primary storage at /images/vm is gone: /images/vm does not exist.'],
    [STORAGE, { freeBytes: 4096n }, 'STORAGE_FULL', 'Secondary storage "nas" is full: 4 KiB of 1 TiB free. Make room'],
    [PRIMARY, { freeBytes: 4096n }, 'PRIMARY_FULL', 'Primary storage at /images/vm is full: 4 KiB of 1 TiB free. Make room'],
    [STORAGE, { writable: false }, 'STORAGE_READ_ONLY', 'Secondary storage "nas" cannot be written.'],
    [PRIMARY, { writable: false }, 'STORAGE_READ_ONLY', 'Primary storage at /images/vm cannot be written.'],
    [STORAGE, { hangs: true }, 'STORAGE_HANGING', 'Secondary storage "nas" does not answer.'],
    [PRIMARY, { hangs: true }, 'STORAGE_HANGING', 'Primary storage at /images/vm does not answer.'],
  ])('names the place and what is wrong with it: %j, %j', async (place, look, code, words) => {
    const said = await explain(place, FAILED, look);
    expect(said).toMatchObject({ code, fields: { tool: 'qemu-img', path: place.path }, cause: FAILED });
    expect(said.message).toContain(words);
  });

  it('leaves the failure as it is when nothing is wrong with the place', async () => {
    expect(await explain(STORAGE, FAILED)).toBe(FAILED);
    expect(await explain(PRIMARY, FAILED)).toBe(FAILED);
  });

  it('leaves a failure that is precise already, and looks at nothing', async () => {
    const precise = new HoldfastError('BACKUP_DAMAGED', 'damaged');
    expect(await explain(STORAGE, precise, { hangs: true })).toBe(precise);
  });

  it('says of a storage that answers again that it did not in time', async () => {
    const said = await explain(STORAGE, LATE);
    expect(said).toMatchObject({ code: 'STORAGE_HANGING', retryable: true });
    expect(said.message).toBe('Secondary storage "nas" did not answer in time, and does again: qemu-img was killed. Try again.');
  });

  it('blames only the place of the file that a tool was late on', async () => {
    const late = new HoldfastError('TIMED_OUT', 'dd was killed.', { path: '/images/vm/new.qcow2.partial' });
    expect(await explain(STORAGE, late, { hangs: true })).toBe(late);
    expect(await explain(PRIMARY, late)).toMatchObject({ code: 'STORAGE_HANGING', fields: { path: '/images/vm' } });
  });
});
