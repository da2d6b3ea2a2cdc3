import { describe, expect, it } from '@jest/globals';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { drawSnapshots, snapshotTable, snapshotText } from './snapshot-text.js';

let minute = 0;
const snapshot = (name: string, parentId?: string, change: Partial<VmSnapshot> = {}): VmSnapshot => ({
  id: `id-${name}` as VmSnapshot['id'],
  vmId: 'vm' as VmSnapshot['vmId'],
  name,
  description: '',
  origin: 'holdfast',
  state: 'Ready',
  ...(parentId === undefined ? {} : { parentId: `id-${parentId}` as VmSnapshot['id'] }),
  current: false,
  leftToVirsh: false,
  volumes: [{ target: 'vda', path: '/pool/a' }],
  createdAt: `2026-11-21T10:${String((minute += 1)).padStart(2, '0')}:00.000Z`,
  ...change,
});

describe('snapshots as text', () => {
  it('a tree: branches below what they stand on, oldest first', () => {
    const all = [snapshot('a'), snapshot('b', 'a'), snapshot('c', 'b'), snapshot('d', 'a'), snapshot('e', 'd'), snapshot('f')];
    expect(drawSnapshots([...all].reverse()).map(({ snapshot: { name }, branch }) => branch + name)).toEqual([
      'a',
      '├─ b',
      '│  └─ c',
      '└─ d',
      '   └─ e',
      'f',
    ]);
  });

  it('one whose parent is not there stands for itself', () => {
    expect(drawSnapshots([snapshot('b', 'gone')]).map(({ branch }) => branch)).toEqual(['']);
  });

  it('says where the VM stands, and what is left to virsh', () => {
    const text = snapshotTable([
      snapshot('a', undefined, { current: true }),
      snapshot('m', undefined, { origin: 'libvirt', leftToVirsh: true }),
    ]);
    expect(text).toContain('a *');
    expect(text).toContain('virsh, left to it');
    expect(snapshotTable([])).toBe('No snapshots.\n');
  });

  it('names are shown, not obeyed', () => {
    expect(snapshotText(snapshot('a\nb\u001b'))).toContain('a\\nb\\u{1b}');
  });
});
