/** What the agent is told for a snapshot and for a revert. */
import { describe, expect, it } from '@jest/globals';
import { libvirtSnapshotId } from '../inventory/libvirt-snapshot-id.js';
import { chosenVolumes, planRevert, planSnapshot, type RevertFacts } from './plan-snapshots.js';

const volume = (id: string, target: string, ...paths: string[]) => ({
  id,
  target,
  basePath: `/p/${id}.qcow2`,
  templatePath: null,
  refusal: null,
  layers: paths.map((path) => ({ path })),
});
const vm = { id: 'VM', name: 'web' };
const facts = (change: Partial<RevertFacts> = {}): RevertFacts => ({
  operationId: 'abcdef12-0000',
  vm,
  snapshotName: 's',
  held: [{ volumeId: 'A', target: 'vda', path: '/p/A.qcow2' }],
  volumes: [volume('A', 'vda', '/p/x', '/p/d1', '/p/A.qcow2')],
  deltas: [{ volumeId: 'A', backupId: 'head', path: '/p/d1', state: 'Present' }],
  overlays: [{ volumeId: 'A', path: '/p/x', branch: false, state: 'Present' }],
  pins: new Map([['A', [{ snapshotId: 's', path: '/p/A.qcow2' }]]]),
  ...change,
});

describe('planSnapshot', () => {
  it('the active layer holds it; the overlay is named after volume and snapshot', () => {
    expect(planSnapshot('S', [volume('A', 'vda', '/p/d1', '/p/A.qcow2')])).toEqual([
      { key: 'A', target: 'vda', activePath: '/p/d1', newOverlayPath: '/p/A.S.hs.qcow2' },
    ]);
  });

  it('of the named volumes alone; one that is not there is refused with those that are', () => {
    const all = [volume('A', 'vda', '/p/a'), volume('B', 'vdb', '/p/b')];
    expect(chosenVolumes(vm, all, ['vdb']).map(({ id }) => id)).toEqual(['B']);
    expect(chosenVolumes(vm, all, null)).toEqual(all);
    expect(() => chosenVolumes(vm, all, ['vda', 'vdc'])).toThrow(/no volume vdc; it has vda, vdb/);
  });
});

describe('planRevert', () => {
  it('an overlay on what holds the snapshot; of the rest everything of ours may go, deltas of the open chain too', () => {
    expect(planRevert(facts())).toEqual([
      {
        key: 'A',
        target: 'vda',
        currentPath: '/p/x',
        pinnedPath: '/p/A.qcow2',
        newOverlayPath: '/p/A.abcdef12.hr.qcow2',
        settle: {
          target: 'vda',
          deltaPaths: ['/p/x', '/p/d1'],
          pins: [{ snapshotId: 's', path: '/p/A.qcow2' }],
          templatePath: '',
        },
      },
    ]);
  });

  it('a volume that is at another target now is followed; one of virsh is found by its target', () => {
    const moved = facts({ volumes: [volume('A', 'sdb', '/p/x', '/p/A.qcow2')] });
    expect(planRevert(moved)[0]).toMatchObject({ target: 'sdb' });
    const ofVirsh = facts({ held: [{ volumeId: undefined, target: 'vda', path: '/p/A.qcow2' }] });
    expect(planRevert(ofVirsh)[0]).toMatchObject({ key: 'A' });
  });

  it('a volume that is detached is named, one that cannot be read says why', () => {
    expect(() => planRevert(facts({ volumes: [] }))).toThrow(/vda of the snapshot "s" is not attached/);
    const refusal = { code: 'BACKING_FILE_MISSING' as const, message: 'gone', fields: {} };
    expect(() => planRevert(facts({ volumes: [{ ...volume('A', 'vda'), refusal }] }))).toThrow('gone');
  });
});

describe('libvirtSnapshotId', () => {
  it('is the same at every look, and another for another VM or name', () => {
    const ids = [libvirtSnapshotId('a', 'x'), libvirtSnapshotId('b', 'x'), libvirtSnapshotId('a', 'y')];
    expect(libvirtSnapshotId('a', 'x')).toBe(ids[0]);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
