/** Room on primary: what goes into one folder counts together, and a full one is named with the numbers. */
import { describe, expect, it } from '@jest/globals';
import { demandPrimarySpace } from './primary-space.js';

const GIB = 1n << 30n;
const FREE = new Map([
  ['/roomy', 10n * GIB],
  ['/tight', 2n * GIB],
]);
const files = { space: async (path: string) => ({ totalBytes: 100n * GIB, freeBytes: FREE.get(path) ?? 0n }) };
const demand = (...wanted: [path: string, bytes: bigint][]): Promise<void> =>
  demandPrimarySpace(
    { files } as never,
    wanted.map(([path, bytes]) => ({ path, bytes })),
    (needed) => `${needed} are needed. Make room.`,
  );

describe('demandPrimarySpace', () => {
  it('lets pass what fits, to the last byte, each folder by itself', async () => {
    await expect(demand(['/tight/a', GIB], ['/tight/b', GIB], ['/roomy/c', 10n * GIB])).resolves.toBeUndefined();
    await expect(demand()).resolves.toBeUndefined();
  });

  it('adds up what goes into one folder, and says what is free, what is needed and the way out', async () => {
    await expect(demand(['/roomy/c', GIB], ['/tight/a', GIB], ['/tight/b', GIB + 1n])).rejects.toMatchObject({
      code: 'PRIMARY_FULL',
      message: 'Primary storage at /tight has 2 GiB free; 2.0 GiB are needed. Make room.',
      fields: { path: '/tight', freeBytes: String(2n * GIB), neededBytes: String(2n * GIB + 1n) },
    });
  });
});
