/** The fixed part of the crash cases that every change must pass; `make crash` runs all of them. */
import { describe, it } from '@jest/globals';
import { CrashFailures, sweepCrashCases } from './sweep.js';

const PART_MS = 1_800_000;

/** Operation → every how many-th case; another step for each fault. */
const PARTS: readonly (readonly [operation: string, everyNth: number])[] = [
  ['TakeBackup', 16],
  ['TakeBackup-stopped', 38],
  ['RestoreBackup', 12],
  ['CompactChain', 40],
];

describe('crash cases, a fixed part', () => {
  it.each(PARTS)(
    '%s, every %ith step of each fault',
    async (operation, everyNth) => {
      const failures = await sweepCrashCases({ operations: [operation], everyNth });
      if (failures.length > 0) throw new CrashFailures(failures);
    },
    PART_MS,
  );

  it.each(['finding A: libvirtd misses', 'finding F', 'freeze: the guest agent hangs', 'drift', 'unsynced'])(
    '%s',
    async (beginning) => {
      const failures = await sweepCrashCases({ findings: [beginning] });
      if (failures.length > 0) throw new CrashFailures(failures);
    },
    PART_MS,
  );
});
