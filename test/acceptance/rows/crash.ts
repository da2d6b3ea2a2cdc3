/** X1 to X4, X11, X13: the crash cases of test/crash as rows. Each makes systems of its own; the shared one is not touched. */
import { OPERATIONS as CRASH_OPERATIONS } from '../../crash/operations.js';
import { CrashFailures, sweepCrashCases } from '../../crash/sweep.js';
import type { AnyRowGroup } from '../row.js';

const OPERATIONS = CRASH_OPERATIONS.map(({ name }) => name);

const ROWS: readonly { id: string; title: string; wish: Parameters<typeof sweepCrashCases>[0] }[] = [
  { id: 'X1', title: 'manager killed -9 in every step of a backup', wish: { operations: ['TakeBackup'], faults: ['manager'] } },
  { id: 'X2', title: 'agent killed -9 in every step of every operation', wish: { operations: OPERATIONS, faults: ['agent'] } },
  {
    id: 'X3',
    title: 'libvirtd killed, qemu-img killed, QEMU killed, in every step',
    wish: { operations: OPERATIONS, faults: ['libvirtd', 'qemu-img', 'qemu'] },
  },
  {
    id: 'X4',
    title: 'secondary full, read-only, gone, hanging, in every step',
    wish: { operations: OPERATIONS, faults: ['storage-full', 'storage-read-only', 'storage-gone', 'storage-hang'] },
  },
  {
    id: 'X11',
    title: 'guest agent hangs while frozen: thawed within the budget',
    wish: { findings: ['freeze: the guest agent hangs while'] },
  },
  { id: 'X13', title: 'libvirtd killed around the snapshot and at the pivot', wish: { findings: ['finding A', 'finding B'] } },
];

export const crashRows: AnyRowGroup = {
  ids: ROWS.map(({ id }) => id),
  async run(_stack, chosen, report) {
    for (const { id, title, wish } of ROWS.filter((row) => chosen.has(row.id))) {
      const began = performance.now();
      const failures = await sweepCrashCases(wish);
      const seconds = (performance.now() - began) / 1000;
      await report({ id, title, seconds, ...(failures.length === 0 ? {} : { error: new CrashFailures(failures) }) });
    }
  },
};
