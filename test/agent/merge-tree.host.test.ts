/** Merging where VM snapshots make branches, on a real VM: what goes, what stays, and that every content stays what it was. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CleanupBackupErrorRequest, CleanupBackupErrorResult, PinnedLayer } from '../../apps/agent/src/commands/requests.js';
import type { AnyRequest } from '../../apps/agent/src/operations/live-operation.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { run } from '../testbed/command.js';
import { copyFlat, imagesEqual } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
const keys = new Map([
  ['vda', randomUUID()],
  ['vdb', randomUUID()],
]);
let copies = 0;

beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-merge-tree' });
  vm = await TestVm.define(host, {
    name: 'merge tree',
    disks: [
      { target: 'vda', sizeMiB: 48, content: { label: 'vda', files: {} } },
      { target: 'vdb', sizeMiB: 32, format: 'raw', content: { label: 'vdb', files: {} } },
    ],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm);
});

afterAll(async () => {
  await host?.destroy();
});

const file = (name: string): string => join(vm.dir, name);
const names = async (target: string): Promise<string[]> => (await vm.chain(target)).map((layer) => layer.filename);

async function write(target: string, name: string): Promise<void> {
  await vm.fillRandom(`/mnt/${target}/${name}`, 1, name);
}

/** A snapshot as Holdfast takes it: the layer in use becomes the snapshot's, the guest writes to `overlay`. */
async function snapshot(target: string, overlay: string): Promise<{ layer: string; content: string }> {
  const layer = await vm.currentFile(target);
  await vm.snapshotByHand({ [target]: overlay });
  return { layer, content: await keep(layer) };
}

/** What a layer shows, as a file of its own. */
async function keep(layer: string): Promise<string> {
  copies += 1;
  const copy = join(host.dir, `kept-${copies}.raw`);
  await copyFlat(layer, layer.endsWith('.raw') ? 'raw' : 'qcow2', copy);
  return copy;
}

async function keepDisk(target: string): Promise<string> {
  copies += 1;
  const copy = join(host.dir, `kept-${copies}.raw`);
  await vm.copyDisk(target, copy);
  return copy;
}

/** A layer beside the active chain with some writes of its own. */
async function branch(name: string, on: string): Promise<{ path: string; content: string }> {
  const path = file(name);
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', on, '-F', on.endsWith('.raw') ? 'raw' : 'qcow2', path]);
  copies += 1;
  await run(['qemu-io', '-f', 'qcow2', '-c', `write -P ${100 + copies} ${copies % 16}M 256k`, path]);
  return { path, content: await keep(path) };
}

const shows = (layer: string, content: string): Promise<boolean> =>
  imagesEqual(layer, layer.endsWith('.raw') ? 'raw' : 'qcow2', content, 'raw');

function cleanup(
  target: string,
  deltaPaths: string[],
  pins: PinnedLayer[],
  unusedDeltaPaths: string[] = [],
): CleanupBackupErrorRequest {
  return {
    header: rig.header(),
    volumes: [{ target, deltaPaths, pins }],
    unpublishedBackupIds: [],
    unusedDeltaPaths,
    dryRun: false,
    thaw: false,
  };
}

const settle = async (...wish: Parameters<typeof cleanup>): Promise<CleanupBackupErrorResult> =>
  rig.run<CleanupBackupErrorResult>('CleanupBackupError', cleanup(...wish));

describe('merging beside VM snapshots', () => {
  let first: { id: string; result: TakeBackupResult };

  it('moves a snapshot down with the delta that held it, and backs up what lies on it as one file', async () => {
    await write('vda', 'one');
    const one = await rig.backupRequest(keys, undefined);
    first = { id: one.backupId, result: await rig.run<TakeBackupResult>('TakeBackup', one) };
    await write('vda', 'two');
    await vm.mustShell('sync');
    const overlay = file('vda.s1.hs.qcow2');
    const taken = await snapshot('vda', overlay);
    await write('vda', 'three');
    const content = await keepDisk('vda');
    const request = await rig.backupRequest(keys, first);
    const volumes = request.volumes.map((volume) => ({
      ...volume,
      pins: volume.target === 'vda' ? [{ snapshotId: 'S1', path: taken.layer }] : [],
    }));
    const result = await rig.run<TakeBackupResult>('TakeBackup', { ...request, volumes } as AnyRequest);
    const volume = file('vda.qcow2');
    const delta = volumes[0]?.newDeltaPath ?? '';
    expect(await names('vda')).toEqual([delta, overlay, volume]);
    expect(result.changes).toEqual({
      removedPaths: [taken.layer, first.result.volumes[1]?.deltaPath],
      leftPaths: [],
      movedPins: [{ snapshotId: 'S1', target: 'vda', path: volume }],
    });
    expect(existsSync(taken.layer)).toBe(false);
    expect(await shows(volume, taken.content)).toBe(true);
    expect(await shows(rig.file(request.backupId, keys.get('vda') ?? ''), content)).toBe(true);
    expect(await shows(await keepDisk('vda'), content)).toBe(true);
    // (c): a delta directly on a snapshot's layer stays, and nothing is pending.
    const pins = [{ snapshotId: 'S0', path: overlay }];
    expect((await settle('vda', [delta], pins)).changes).toEqual({ removedPaths: [], leftPaths: [], movedPins: [] });
    expect(await names('vda')).toEqual([delta, overlay, volume]);
  });

  it.each([
    ['vda', 'running'],
    ['vdb', 'stopped'],
  ])('takes a layer from under two branches (%s, %s)', async (target, state) => {
    await write(target, 'four');
    const before = await names(target);
    const taken = await snapshot(target, file(`${target}.s2.hs.qcow2`));
    await write(target, 'five');
    if (state === 'stopped') await vm.shutdown();
    const active = await vm.currentFile(target);
    const content = await keepDisk(target);
    // taken.layer ← active, taken.layer ← aside ← tip (S4) ← dead
    const aside = await branch(`${target}.aside.qcow2`, taken.layer);
    const tip = await branch(`${target}.tip.qcow2`, aside.path);
    const dead = await branch(`${target}.dead.qcow2`, tip.path);
    const pins = [
      { snapshotId: 'S2', path: taken.layer },
      { snapshotId: 'S4', path: tip.path },
    ];
    const refused = await rig.end('CleanupBackupError', cleanup(target, [], pins, [aside.path]));
    expect(refused).toMatchObject({ state: 'Failed', error: { code: 'FILE_IN_USE' } });
    const { changes } = await settle(target, [dead.path, taken.layer, tip.path], pins);
    const base = before[1] ?? '';
    expect(changes).toEqual({
      removedPaths: [dead.path, taken.layer, tip.path],
      leftPaths: [],
      movedPins: [
        { snapshotId: 'S2', target, path: base },
        { snapshotId: 'S4', target, path: aside.path },
      ],
    });
    expect(changes.removedPaths.filter((path) => existsSync(path))).toEqual([]);
    expect(await names(target)).toEqual([active, ...before.slice(1)]);
    expect(await shows(base, taken.content)).toBe(true);
    expect(await shows(aside.path, tip.content)).toBe(true);
    expect(await shows(await keepDisk(target), content)).toBe(true);
    expect(
      (
        await settle(
          target,
          [dead.path, taken.layer, tip.path],
          [
            { snapshotId: 'S2', path: base },
            { snapshotId: 'S4', path: aside.path },
          ],
        )
      ).changes.removedPaths,
    ).toEqual([]);
    if (state === 'stopped') await vm.start();
    expect((await vm.digests(`/mnt/${target}/four`))[`/mnt/${target}/four`]).toBeDefined();
  });

  it('finishes a merge that died between two branches, and touches nothing while a snapshot is lost', async () => {
    const taken = await snapshot('vda', file('vda.s5.hs.qcow2'));
    const active = await vm.currentFile('vda');
    const base = await branch('vda.base.qcow2', taken.layer);
    const top = await branch('vda.top.qcow2', base.path);
    const [left, right] = [await branch('vda.left.qcow2', top.path), await branch('vda.right.qcow2', top.path)];
    await run(['qemu-img', 'commit', '-q', '-d', '-f', 'qcow2', top.path]);
    await run(['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', base.path, '-F', 'qcow2', left.path]);
    const pins = [
      { snapshotId: 'L', path: left.path },
      { snapshotId: 'R', path: right.path },
      { snapshotId: 'T', path: top.path },
    ];
    const lost = await rig.end(
      'CleanupBackupError',
      cleanup('vda', [top.path], [...pins, { snapshotId: 'X', path: file('no such file') }]),
    );
    expect(lost).toMatchObject({ state: 'Failed', vmOutcome: 'Unexplained', error: { code: 'CHAIN_UNEXPLAINED' } });
    expect(existsSync(top.path)).toBe(true);
    const { changes } = await settle('vda', [top.path], pins);
    expect(changes).toEqual({
      removedPaths: [top.path],
      leftPaths: [],
      movedPins: [{ snapshotId: 'T', target: 'vda', path: base.path }],
    });
    expect(existsSync(top.path)).toBe(false);
    for (const one of [left, right, { path: base.path, content: top.content }])
      expect(await shows(one.path, one.content)).toBe(true);
    expect(await vm.currentFile('vda')).toBe(active);
  });

  it('keeps what a layer shows that no record names any more', async () => {
    const delta = file(`vda.${randomUUID()}.hf.qcow2`);
    for (const layer of [delta, file(`vda.${randomUUID()}.hf.qcow2`)]) {
      await snapshot('vda', layer);
      await write('vda', 'six');
    }
    // As a snapshot and a revert of a day leave it whose database is lost: two layers of it beside the chain.
    const lost = await branch(`vda.${randomUUID()}.hs.qcow2`, delta);
    const tip = await branch('vda.0123abcd.hr.qcow2', lost.path);
    const content = await keepDisk('vda');
    // In the chain it is merged from under them; given away, it is nobody's to delete.
    const { changes } = await settle('vda', [delta], []);
    expect(changes.removedPaths).toEqual([delta]);
    for (const one of [lost, tip]) expect(await shows(one.path, one.content)).toBe(true);
    expect(await shows(await keepDisk('vda'), content)).toBe(true);
    const refused = await rig.end('CleanupBackupError', cleanup('vda', [], [], [lost.path]));
    expect(refused).toMatchObject({ state: 'Failed', error: { code: 'FILE_IN_USE', fields: { layer: tip.path } } });
    await settle('vda', [], [], [lost.path, tip.path]);
    expect([lost.path, tip.path].filter((path) => existsSync(path))).toEqual([]);
  });

  it("leaves what a snapshot of virsh's own names, and sees it", async () => {
    const delta = await vm.currentFile('vdb');
    const disks = ['--diskspec', `vdb,file=${file('virsh.qcow2')}`, '--diskspec', 'vda,snapshot=no'];
    await host.virsh('snapshot-create-as', vm.uuid, 'by hand', '--disk-only', '--atomic', ...disks);
    const content = await keep(delta);
    expect((await rig.hypervisor.observe(vm.uuid))?.snapshots).toMatchObject([
      {
        name: 'by hand',
        parentName: undefined,
        current: true,
        foreignKind: false,
        disks: [{ target: 'vdb', pinnedPath: delta, pinnedFormat: 'qcow2', overlayPath: file('virsh.qcow2') }],
      },
    ]);
    const { plan, changes } = await settle('vdb', [delta], []);
    expect(plan).toEqual([expect.stringContaining('virsh')]);
    expect(changes.removedPaths).toEqual([]);
    expect(await shows(delta, content)).toBe(true);
    const ended: OperationView = await rig.end('ReleaseFiles', { header: rig.header(), paths: [delta] } as AnyRequest);
    expect(ended.error?.code).toBe('FILE_IN_USE');
    expect((await host.virsh('snapshot-list', vm.uuid, '--name')).trim()).toBe('by hand');
    await host.virsh('snapshot-delete', vm.uuid, 'by hand', '--metadata');
    expect((await rig.hypervisor.observeAll()).find((one) => one.uuid === vm.uuid)?.snapshots).toEqual([]);
    expect((await settle('vdb', [delta], [])).changes.removedPaths).toEqual([delta]);
    expect((await vm.digests('/mnt/vdb/five'))['/mnt/vdb/five']).toBeDefined();
    await vm.shutdown();
    await host.virsh('snapshot-create-as', vm.uuid, 'inside');
    const active = await vm.currentFile('vdb');
    expect((await rig.hypervisor.observeAll()).find((one) => one.uuid === vm.uuid)?.snapshots).toMatchObject([
      { name: 'inside', foreignKind: true, disks: [{ target: 'vda' }, { target: 'vdb', pinnedPath: active, overlayPath: '' }] },
    ]);
  });
});
