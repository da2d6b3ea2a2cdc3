/** The fixed part of the crash cases that every change must pass; `make crash` runs all of them. */
import { describe, it } from '@jest/globals';
import { CrashFailures, sweepCrashCases } from './sweep.js';

const PART_MS = 1_800_000;

interface Part {
  readonly operation: string;
  /** Every how many-th case of each fault, at least one; another step for each fault. */
  readonly everyNth: number;
  /** Default: all of them. */
  readonly faults?: readonly string[];
}

/** What the younger operations are struck by: the death of each that holds a part of the state, and of all at once. */
const DEATHS = ['agent', 'libvirtd', 'power-loss'];

const PARTS: readonly Part[] = [
  { operation: 'TakeBackup', everyNth: 42 },
  { operation: 'TakeBackup-cancelled', everyNth: 20, faults: DEATHS },
  { operation: 'TakeBackup-stopped', everyNth: 38 },
  { operation: 'RestoreBackup', everyNth: 48 },
  { operation: 'RestoreBackup-cancelled', everyNth: 20, faults: ['agent', 'power-loss'] },
  { operation: 'ReleaseFiles', everyNth: 4, faults: DEATHS },
  { operation: 'FinishBackupChain', everyNth: 20, faults: DEATHS },
  { operation: 'CompactChain', everyNth: 20, faults: ['agent', 'storage-full', 'storage-gone'] },
  { operation: 'DeleteBackups-head', everyNth: 20, faults: ['agent', 'power-loss', 'storage-read-only'] },
  { operation: 'TakeVmSnapshot', everyNth: 20, faults: DEATHS },
  { operation: 'RevertVmSnapshot', everyNth: 20, faults: ['agent', 'power-loss'] },
  { operation: 'DeleteVmSnapshots', everyNth: 20, faults: DEATHS },
];

describe('crash cases, a fixed part', () => {
  it.each(PARTS)(
    '$operation, every $everyNth-th step of each fault',
    async ({ operation, everyNth, faults }) => {
      const failures = await sweepCrashCases({ operations: [operation], everyNth, faults });
      if (failures.length > 0) throw new CrashFailures(failures);
    },
    PART_MS,
  );

  it.each(['finding A: libvirtd misses', 'finding F', 'freeze: the guest agent hangs', 'drift', 'unsynced', 'unmounted'])(
    '%s',
    async (beginning) => {
      const failures = await sweepCrashCases({ findings: [beginning] });
      if (failures.length > 0) throw new CrashFailures(failures);
    },
    PART_MS,
  );
});
