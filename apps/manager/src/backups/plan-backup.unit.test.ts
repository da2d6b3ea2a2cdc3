/** The plan of a backup: the chains of the behaviour's drawing, size 3, as a table of what the agent is told. */
import { describe, expect, it } from '@jest/globals';
import { deltaPath, restoredPath } from './delta-paths.js';
import { planBackup, type PlanDelta, type PlanFacts, type PlanVolume } from './plan-backup.js';

const volume = (layers: string[], change: Partial<PlanVolume> = {}): PlanVolume => ({
  id: 'V',
  target: 'vda',
  virtualSizeBytes: 100n,
  layers: layers.map((path, index) => ({ path, inode: String(index + 1), allocatedBytes: '10' })),
  basePath: '/p/vol.qcow2',
  templatePath: null,
  refusal: null,
  ...change,
});
const delta = (backupId: string, path: string, change: Partial<PlanDelta> = {}): PlanDelta => ({
  volumeId: 'V',
  backupId,
  path,
  inode: null,
  state: 'Present',
  ...change,
});
const storages = [{ id: 'S', name: 'store', readOnly: false, problem: null, freeBytes: 1000n }];
const facts = (change: Partial<PlanFacts>): PlanFacts => ({
  vmId: 'VM',
  zoneName: 'Z',
  backupId: 'NEW',
  isolated: false,
  chainSize: 3,
  head: undefined,
  chainEndedReason: null,
  volumes: [volume(['/p/vol.qcow2'])],
  deltas: [],
  pins: new Map(),
  storages,
  ...change,
});
const head = (id: string, chainLength: number) => ({ id, chainLength, storageId: 'S', continuable: true as const });
const NEW = '/p/vol.NEW.hf.qcow2';

describe('planBackup', () => {
  it('b1: a full backup that begins a chain; nothing is merged', () => {
    const plan = planBackup(facts({}));
    expect(plan.decision).toMatchObject({ type: 'FULL', endOfChain: false });
    expect(plan.volumes[0]).toMatchObject({
      activePath: '/p/vol.qcow2',
      newDeltaPath: NEW,
      parentDeltaPath: '',
      mergeDeltaPaths: [],
      file: 'backups/VM/NEW/V.qcow2',
      parentFile: undefined,
      copiedInFull: true,
    });
  });

  it('b2: incremental on the head; its delta is copied, then merged', () => {
    const plan = planBackup(
      facts({ head: head('b1', 1), volumes: [volume(['/p/d1', '/p/vol.qcow2'])], deltas: [delta('b1', '/p/d1', { inode: 1n })] }),
    );
    expect(plan.decision).toMatchObject({ type: 'INCREMENTAL', parentId: 'b1', endOfChain: false });
    expect(plan.volumes[0]).toMatchObject({
      parentDeltaPath: '/p/d1',
      parentDeltaInode: '1',
      mergeDeltaPaths: ['/p/d1'],
      parentFile: '../b1/V.qcow2',
      copiedInFull: false,
    });
  });

  it('b3: the end of the chain takes its own delta along', () => {
    const plan = planBackup(
      facts({ head: head('b2', 2), volumes: [volume(['/p/d2', '/p/vol.qcow2'])], deltas: [delta('b2', '/p/d2')] }),
    );
    expect(plan.decision).toMatchObject({ type: 'INCREMENTAL', endOfChain: true });
    expect(plan.volumes[0]?.mergeDeltaPaths).toEqual(['/p/d2', NEW]);
  });

  it('isolated: full, its own delta goes, the head keeps its', () => {
    const plan = planBackup(
      facts({
        isolated: true,
        head: head('b2', 2),
        volumes: [volume(['/p/d2', '/p/vol.qcow2'])],
        deltas: [delta('b2', '/p/d2')],
      }),
    );
    expect(plan.decision).toMatchObject({ type: 'FULL', isolated: true, endOfChain: false });
    expect(plan.volumes[0]).toMatchObject({ mergeDeltaPaths: [NEW], parentDeltaPath: '' });
  });

  it('a foreign snapshot between two backups is copied along', () => {
    const plan = planBackup(
      facts({ head: head('b1', 1), volumes: [volume(['/p/x', '/p/d1', '/p/vol.qcow2'])], deltas: [delta('b1', '/p/d1')] }),
    );
    expect(plan.volumes[0]).toMatchObject({ activePath: '/p/x', parentDeltaPath: '/p/d1', mergeDeltaPaths: ['/p/d1'] });
  });

  it('what snapshots of a volume hold goes along with it, and nothing of another', () => {
    const pins = new Map([
      ['V', [{ snapshotId: 's1', path: '/p/d1' }]],
      ['W', [{ snapshotId: 's1', path: '/p/w' }]],
    ]);
    const volumes = [volume(['/p/x', '/p/d1', '/p/vol.qcow2']), volume(['/p/y', '/p/w'], { id: 'W', target: 'vdb' })];
    const plan = planBackup(facts({ head: head('b1', 1), volumes, deltas: [delta('b1', '/p/d1')], pins }));
    expect(plan.volumes.map((planned) => planned.pins)).toEqual([pins.get('V'), pins.get('W')]);
    expect(plan.volumes[0]?.mergeDeltaPaths).toEqual(['/p/d1']);
  });

  it('a broken chain: full with the reason, and the old deltas go', () => {
    const broken = { ...head('b1', 1), continuable: 'the previous backup "b1" is Failed' };
    const plan = planBackup(
      facts({ head: broken, volumes: [volume(['/p/d1', '/p/vol.qcow2'])], deltas: [delta('b1', '/p/d1')] }),
    );
    expect(plan.decision.type).toBe('FULL');
    expect(plan.fullReason).toContain('is Failed');
    expect(plan.volumes[0]?.mergeDeltaPaths).toEqual(['/p/d1']);
  });

  it('a delta that an earlier backup left unmerged goes with the next', () => {
    const plan = planBackup(
      facts({
        head: head('b2', 1),
        volumes: [volume(['/p/d2', '/p/d1', '/p/vol.qcow2'])],
        deltas: [delta('b2', '/p/d2'), delta('b1', '/p/d1')],
      }),
    );
    expect(plan.volumes[0]?.mergeDeltaPaths).toEqual(['/p/d2', '/p/d1']);
  });

  it.each<[string, string[], PlanDelta[], RegExp]>([
    ['was attached later', ['/p/vol.qcow2'], [], /no delta tracks/],
    ['lost its delta', ['/p/vol.qcow2'], [delta('b1', '/p/d1')], /no longer in the chain/],
    [
      'has another file in place of its delta',
      ['/p/d1', '/p/vol.qcow2'],
      [delta('b1', '/p/d1', { inode: 77n })],
      /replaced by another file/,
    ],
  ])('a volume that %s is copied in full, the others stay incremental', (_what, layers, deltas, why) => {
    const other = volume(['/p/o1', '/p/o'], { id: 'O', target: 'vdb', basePath: '/p/o' });
    const plan = planBackup(
      facts({
        head: head('b1', 1),
        volumes: [volume(layers), other],
        deltas: [...deltas, delta('b1', '/p/o1', { volumeId: 'O' })],
      }),
    );
    expect(plan.decision.type).toBe('INCREMENTAL');
    expect(plan.volumes.map((planned) => planned.copiedInFull)).toEqual([true, false]);
    expect(plan.volumes[0]?.copiedInFullReason).toMatch(why);
    expect(plan.volumes[0]?.parentFile).toBeUndefined();
  });

  it('says why there is no open chain', () => {
    expect(planBackup(facts({ chainEndedReason: 'the VM was restored from backup "x"' })).fullReason).toBe(
      'the VM has no open backup chain: the VM was restored from backup "x"',
    );
  });

  it('another storage begins another chain', () => {
    const full = { ...(storages[0] as (typeof storages)[0]), freeBytes: 5n };
    const plan = planBackup(
      facts({
        head: head('b1', 1),
        storages: [full, { ...full, id: 'T', name: 'other', freeBytes: 500n }],
        volumes: [volume(['/p/d1', '/p/vol.qcow2'])],
        deltas: [delta('b1', '/p/d1')],
      }),
    );
    expect(plan.storage.storageId).toBe('T');
    expect(plan.decision).toMatchObject({ type: 'FULL' });
    expect(plan.fullReason).toContain('another secondary storage');
  });
});

describe('names of files on primary', () => {
  it.each([
    ['/p/vol.qcow2', '/p/vol.B.hf.qcow2'],
    ['/p/a b\n"$(rm -rf)\'.qcow2', '/p/a_b_rm_-rf_.B.hf.qcow2'],
    ['/p/0123456789012345678901234567890.raw', '/p/01234567890123456789.B.hf.qcow2'],
    ['/p/öäü', '/p/_.B.hf.qcow2'],
  ])('%j gives %s', (base, expected) => {
    expect(deltaPath('/p/active', base, 'vda', 'B', new Set())).toBe(expected);
  });

  it('two volumes whose names begin alike do not meet', () => {
    const taken = new Set<string>();
    const long = '/p/01234567890123456789';
    expect(deltaPath('/p/x', `${long}-1`, 'vda', 'B', taken)).not.toBe(deltaPath('/p/y', `${long}-2`, 'vdb', 'B', taken));
  });

  it('a file that was restored twice does not grow its name', () => {
    const first = restoredPath('/p/vol.qcow2', 'vda', '11111111-x', new Set());
    expect(first).toBe('/p/vol.11111111.restored.qcow2');
    expect(restoredPath(first, 'vda', '22222222-x', new Set())).toBe('/p/vol.22222222.restored.qcow2');
  });
});
