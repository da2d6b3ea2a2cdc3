import { describe, expect, it } from '@jest/globals';
import type { StorageScan } from '@holdfast/shared/api/storage.js';
import { scanText } from './storage-text.js';

const none = { takenUp: [], corrected: [], newVms: [], left: [], warnings: [], notChecked: [] };
const scan = (change: object): StorageScan => ({
  storageId: 's' as never,
  scannedAt: '2026-01-01T00:00:00Z',
  dryRun: false,
  ...none,
  ...change,
});
const one = (backupName: string, message: string) => ({ backupId: 'b', backupName, vmId: 'v', vmName: 'vm', message });

describe('scanText', () => {
  it('names what was taken up and set right, then what is left and why, then the rest', () => {
    const text = scanText(
      scan({
        takenUp: [{ ...one('b2', 'FULL'), frozenAt: '2026-01-01T02:00:00.000Z' }],
        corrected: [one('b1', 'It is recorded as FULL.')],
        left: [one('b3', 'Its parent is not there.')],
        newVms: [{ vmId: 'v', vmName: 'vm\u001b[2J' }],
        notChecked: ['Backups of VM w.'],
        dryRun: true,
      }),
    );
    expect(text).toMatch(/taken up +vm +b2 +2026-01-01 02:00:00Z +FULL\n.*set right +vm +b1 .*\n.*left +vm +b3 .*not there/);
    expect(text).not.toContain('\u001b');
    expect(text).toMatch(/as gone: VM vm.*\nNot checked: Backups of VM w\.\nNothing was written/);
  });

  it('says that there is nothing to do', () => {
    expect(scanText(scan({}))).toBe('Nothing to take up: every backup on the storage is on record.\n');
  });
});
