/** What a clean-up merges and removes. */
import { describe, expect, it } from '@jest/globals';
import { planCleanup, type CleanupFacts, type CleanupVolume } from './plan-cleanup.js';
import { cleanupBackoffMs } from './protection.js';

const volume = (layers: readonly string[], change: Partial<CleanupVolume> = {}): CleanupVolume => ({
  id: 'V',
  target: 'vda',
  attached: true,
  readable: true,
  templatePath: null,
  basePath: '/vol',
  intendedPath: null,
  layers: layers.map((path) => ({ path })),
  ...change,
});

const facts = (change: Partial<CleanupFacts>): CleanupFacts => ({
  purpose: 'repair',
  headBackupId: 'b2',
  volumes: [volume(['/d3', '/d2', '/d1', '/vol'])],
  deltas: [
    { volumeId: 'V', backupId: 'b3', path: '/d3', state: 'Leftover' },
    { volumeId: 'V', backupId: 'b2', path: '/d2', state: 'Present' },
    { volumeId: 'V', backupId: 'b1', path: '/d1', state: 'Present' },
  ],
  overlays: [],
  ofOthers: new Set(),
  pins: new Map(),
  unpublished: [],
  ...change,
});

describe('planCleanup', () => {
  it('a repair keeps the delta of the open chain and merges the rest', () => {
    expect(planCleanup(facts({})).volumes).toMatchObject([{ target: 'vda', deltaPaths: ['/d3', '/d1'] }]);
  });

  it('at the end of a chain everything of ours goes', () => {
    expect(planCleanup(facts({ purpose: 'end-chain' })).volumes).toMatchObject([
      { target: 'vda', deltaPaths: ['/d3', '/d2', '/d1'] },
    ]);
  });

  it('deltas that no record names go at the end of a chain, but below an overlay that may be of a lost VM snapshot', () => {
    const delta = (number: number) => `/v.0000000${number}-0000-4000-8000-000000000000.hf.qcow2`;
    const layers = [delta(1), '/v.00000004-0000-4000-8000-000000000000.hs.qcow2', delta(2), delta(3), '/vol'];
    const lost = facts({ deltas: [], volumes: [volume(layers)] });
    expect(planCleanup(lost).volumes).toEqual([]);
    expect(planCleanup({ ...lost, purpose: 'end-chain' }).volumes).toMatchObject([{ deltaPaths: [delta(1), delta(3)] }]);
    const ofOthers = new Set([delta(3)]);
    expect(planCleanup({ ...lost, purpose: 'end-chain', ofOthers }).volumes).toMatchObject([{ deltaPaths: [delta(1)] }]);
  });

  it('layers that are not ours are left alone', () => {
    expect(planCleanup(facts({ deltas: [] })).volumes).toEqual([]);
  });

  it('what was made for a backup that did not happen and is in no chain may be deleted; a published delta never', () => {
    const plan = planCleanup(
      facts({
        volumes: [volume(['/vol'])],
      }),
    );
    expect(plan.unusedDeltaPaths).toEqual(['/d3']);
    expect(plan.volumes).toEqual([]);
  });

  const inSnapshot = new Map([['V', [{ snapshotId: 's', path: '/o' }]]]);
  const overlay = (path: string, change = {}) => ({ volumeId: 'V', path, state: 'Present' as const, branch: false, ...change });

  it('overlays of snapshots may go with the rest, and what snapshots hold is said', () => {
    const plan = planCleanup(facts({ deltas: [], overlays: [overlay('/d3')], pins: inSnapshot }));
    expect(plan.volumes).toMatchObject([{ deltaPaths: ['/d3'], pins: [{ snapshotId: 's', path: '/o' }] }]);
  });

  it('a layer that a revert put into a branch is named; one that somebody else took out of the chain is not', () => {
    const overlays = [overlay('/branch', { branch: true }), overlay('/missed')];
    const plan = planCleanup(facts({ deltas: [], overlays }));
    expect(plan.volumes).toMatchObject([{ deltaPaths: ['/branch'] }]);
    expect(plan.unusedDeltaPaths).toEqual([]);
  });

  it('what a snapshot holds, or lies in a branch, is never left over', () => {
    const deltas = [{ volumeId: 'V', backupId: 'b3', path: '/o', state: 'Leftover' as const }];
    const overlays = [overlay('/branch', { state: 'Leftover', branch: true }), overlay('/gone', { state: 'Leftover' })];
    expect(planCleanup(facts({ deltas, overlays, pins: inSnapshot })).unusedDeltaPaths).toEqual(['/gone']);
  });

  it('a layer that was merged and could not be deleted goes, also when a snapshot is still of it', () => {
    const deltas = [{ volumeId: 'V', backupId: 'b3', path: '/o', state: 'Leftover' as const }];
    expect(planCleanup(facts({ deltas, pins: inSnapshot })).volumes).toMatchObject([{ deltaPaths: ['/o'] }]);
    const overlays = [overlay('/o', { state: 'Leftover' })];
    expect(planCleanup(facts({ deltas: [], overlays, pins: inSnapshot })).volumes).toMatchObject([{ deltaPaths: ['/o'] }]);
  });

  it.each([
    ['detached', { attached: false, readable: true }],
    ['unreadable', { attached: true, readable: false }],
  ])('of a disk that is %s nothing is touched: its chain is not known', (_what, state) => {
    const plan = planCleanup(facts({ volumes: [volume(['/vol'], state)] }));
    expect(plan).toMatchObject({ volumes: [], unusedDeltaPaths: [] });
  });

  it.each([
    ['attached', { attached: true, readable: true }, ['/new', '/new.partial']],
    ['detached', { attached: false, readable: true }, ['/new', '/new.partial']],
    ['unreadable', { attached: true, readable: false }, []],
  ])('the new file of a restore that failed is left over for a disk that is %s: %j', (_what, state, left) => {
    const volumes = [volume(['/vol'], { ...state, intendedPath: '/new' })];
    expect(planCleanup(facts({ deltas: [], volumes })).unusedDeltaPaths).toEqual(left);
  });

  it('a file that a restore has switched a disk to is not left over, whatever lies on it', () => {
    const onIt = volume(['/d1', '/new'], { intendedPath: '/new' });
    const leftIt = volume(['/elsewhere'], { basePath: '/new', intendedPath: '/new' });
    for (const one of [onIt, leftIt]) {
      expect(planCleanup(facts({ deltas: [], volumes: [one] })).unusedDeltaPaths).toEqual([]);
    }
  });

  it('folders of unpublished backups are removed, one storage at a time', () => {
    const plan = planCleanup(
      facts({
        unpublished: [
          { id: 'x', storageId: 'S' },
          { id: 'y', storageId: 'T' },
          { id: 'z', storageId: 'S' },
        ],
      }),
    );
    expect(plan).toMatchObject({ storageId: 'S', unpublishedBackupIds: ['x', 'z'] });
  });

  it('is tried again less and less often, at least hourly', () => {
    expect([0, 1, 2, 50].map(cleanupBackoffMs)).toEqual([30_000, 60_000, 120_000, 3_600_000]);
  });
});
