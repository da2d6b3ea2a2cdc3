import { describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { storedBackup } from '../../testing/stored-backup.js';
import type { RecordedBackup } from '../check/compare-storage.js';
import { planScan, type ScanPlan } from './plan-scan.js';

const STORAGE = '10000000-0000-4000-8000-000000000000';
const VM = '20000000-0000-4000-8000-000000000000';
const KEY = '30000000-0000-4000-8000-000000000000';
const [B1, B2, B3] = ['1', '2', '3'].map((digit) => `40000000-0000-4000-8000-00000000000${digit}`) as [string, string, string];

type Entries = ReturnType<typeof storedBackup>;

const stored = (id: string, parent?: string, minute = 0): Entries =>
  storedBackup(
    {
      ...{ id, vmId: VM, vmName: 'vm', name: id, storageId: STORAGE, type: parent === undefined ? 'FULL' : 'INCREMENTAL' },
      ...(parent === undefined ? {} : { parentId: parent }),
      volumes: [{ key: KEY, target: 'vda', ...(parent === undefined ? {} : { parentFile: `../${parent}/${KEY}.qcow2` }) }],
    } as unknown as Backup,
    { frozenAt: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString() },
  );
const row = (id: string, state: RecordedBackup['state'], parentId: string | null = null): RecordedBackup => ({
  ...{ id, vmId: VM, vmName: 'vm', name: id, state, parentId, type: parentId === null ? 'FULL' : 'INCREMENTAL' },
});
const plan = (entries: Entries, ...backups: RecordedBackup[]): ScanPlan =>
  planScan({ storageId: STORAGE, entries: entries as never, backups, busyVmIds: new Set() });
const taken = ({ vms }: ScanPlan): string[] => vms.flatMap(({ takeUp }) => takeUp.map(({ manifest }) => manifest.backupId));
const without = (entries: Entries, name: string): Entries => entries.filter(({ path }) => !path.endsWith(name));

describe('planScan', () => {
  it('takes parents before children, whatever the clocks of hosts said', () => {
    const found = plan([...stored(B1, undefined, 9), ...stored(B2, B1, 5), ...stored(B3, B2, 1)]);
    expect(taken(found)).toEqual([B1, B2, B3]);
    expect(found.left).toEqual([]);
  });

  it.each<[string, Entries, RecordedBackup[], string[], RegExp[]]>([
    ['a circle of parents', [...stored(B1, B2), ...stored(B2, B1)], [], [], [/own ancestor/, /own ancestor/]],
    ['a whole parent whose deletion failed', [...stored(B1), ...stored(B2, B1)], [row(B1, 'DeleteFailed')], [B2], []],
    [
      'a parent whose deletion failed half way',
      [...without(stored(B1), 'manifest.json'), ...stored(B2, B1)],
      [row(B1, 'DeleteFailed')],
      [],
      [/recorded as DeleteFailed/],
    ],
    ['a deleted parent', [...stored(B1), ...stored(B2, B1)], [row(B1, 'Expunged')], [], [/recorded as Expunged/]],
    ['a missing parent', stored(B2, B1), [], [], [/needs .*, which is not there/]],
    [
      'a definition without its disk',
      stored(B1).map((entry) => ({ ...entry, disks: [] })),
      [],
      [],
      [/does not say which file the disk vda was/],
    ],
    [
      'a manifest that nobody can read',
      stored(B1).map((entry) => (entry.manifest === undefined ? entry : { ...entry, manifest: '{' })),
      [],
      [],
      [/is no manifest/],
    ],
    [
      'files beside a whole backup',
      [
        ...stored(B1),
        ...stored(B1)
          .slice(3)
          .map((entry) => ({ ...entry, path: `${entry.path}.partial` })),
      ],
      [],
      [B1],
      [],
    ],
  ])('%s', (_name, entries, backups, expected, reasons) => {
    const found = plan(entries, ...backups);
    expect(taken(found)).toEqual(expected);
    expect(found.left.map(({ reason }) => reason)).toEqual(reasons.map((reason) => expect.stringMatching(reason)));
  });

  it('calls a parent absorbed only when nothing of it is there, and no other record needs it', () => {
    const correct = (entries: Entries, ...more: RecordedBackup[]) =>
      plan(entries, row(B1, 'Removed'), row(B2, 'BackedUp', B1), ...more).vms.flatMap((vm) =>
        vm.correct.map(({ manifest, absorbedId }) => [manifest.backupId, absorbedId]),
      );
    expect(correct(stored(B2))).toEqual([[B2, B1]]);
    expect(correct([...stored(B1), ...stored(B2)])).toEqual([[B2, undefined]]);
    expect(correct(stored(B2), row(B3, 'BackedUp', B1))).toEqual([[B2, undefined]]);
    expect(correct([...stored(B1), ...stored(B2, B1)])).toEqual([]);
  });
});
