/** The agent's snapshot commands on a real VM, without a manager: the tree of layers, and what each snapshot holds. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { readdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { RevertVmSnapshotRequest, TakeVmSnapshotRequest } from '../../apps/agent/src/commands/requests.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig } from './command-rig.js';
import { SnapshotBook } from './snapshot-book.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
let book: SnapshotBook;

beforeAll(async () => {
  host = await TestHost.create({ name: 'vm-snapshots' });
  vm = await TestVm.define(host, {
    name: `a "snapshot" & <more>`,
    disks: [
      { target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } },
      { target: 'vdb', sizeMiB: 32, format: 'raw', content: { label: 'vdb', files: {} } },
    ],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm);
  book = new SnapshotBook(rig, vm);
});

afterAll(async () => {
  await host?.destroy();
});

async function write(name: string): Promise<void> {
  await vm.fillRandom(`/mnt/vda/${name}`, 1, name);
  await vm.fillRandom(`/mnt/vdb/${name}`, 1, name);
  await vm.mustShell('sync');
}

async function filesInGuest(target = 'vda'): Promise<string[]> {
  return (await vm.mustShell(`cd /mnt/${target} && ls | grep -v lost+found || true`)).split(/\s+/).filter((name) => name !== '');
}

/** Layers of a disk from the active one down, as `volume`, or as the name that the test gave to what made them. */
async function layers(target: string): Promise<string[]> {
  return (await vm.chain(target)).map(({ filename }) => book.nameOf(filename));
}

async function files(): Promise<string[]> {
  return (await readdir(vm.dir)).filter((name) => /\.(hs|hr)\.qcow2|partial/.test(name));
}

describe('VM snapshots on a real VM', () => {
  it('takes two of the running VM, one of them quiesced', async () => {
    await write('one');
    const first = await book.take('s1', { quiesce: 'no' });
    expect(first.quiesced).toBe(false);
    await write('two');
    const second = await book.take('s2', { quiesce: 'require' });
    expect(second.quiesced).toBe(true);
    expect(await vm.fsfreezeStatus()).toBe('thawed');
    await write('three');
    for (const target of ['vda', 'vdb']) expect(await layers(target)).toEqual(['over s2', 'over s1', 'volume']);
    expect((await host.virsh('snapshot-list', '--name', vm.uuid)).trim()).toBe('');
    await book.demandContents();
  });

  it('refuses to revert a running VM, and a snapshot of a disk that is not as planned', async () => {
    const running = await rig.end('RevertVmSnapshot', await book.revertRequest('s1'));
    expect(running).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'VM_RUNNING' } });
    const request = await book.takeRequest('no');
    const volumes = request.volumes.map((volume) => ({ ...volume, activePath: join(vm.dir, 'vda.qcow2') }));
    const wrong: TakeVmSnapshotRequest = { ...request, volumes };
    const outdated = await rig.end('TakeVmSnapshot', wrong);
    expect(outdated).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'PLAN_OUTDATED' } });
    expect(await layers('vda')).toEqual(['over s2', 'over s1', 'volume']);
  });

  it('refuses to change the disks of a VM that was saved with its memory', async () => {
    await vm.mustShell('sync');
    await host.virsh('managedsave', vm.uuid);
    const revert = await rig.end('RevertVmSnapshot', await book.revertRequest('s1'));
    expect(revert).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'WRONG_STATE' } });
    expect(revert.error?.message).toContain('managedsave-remove');
    const take = await rig.end('TakeVmSnapshot', await book.takeRequest('no'));
    expect(take).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'WRONG_STATE' } });
    await host.virsh('start', vm.uuid);
    await vm.waitForGuest();
    expect(await layers('vda')).toEqual(['over s2', 'over s1', 'volume']);
  });

  it('leaves the running VM as it was when one disk has no place for its overlay', async () => {
    const before = await files();
    const request = await book.takeRequest('no');
    const volumes = request.volumes.map((volume) =>
      volume.target === 'vdb' ? { ...volume, newOverlayPath: join(vm.dir, 'missing', 'x.hs.qcow2') } : volume,
    );
    const wrong: TakeVmSnapshotRequest = { ...request, volumes };
    const end = await rig.end('TakeVmSnapshot', wrong);
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore' });
    expect(await files()).toEqual(before);
    expect(await layers('vda')).toEqual(['over s2', 'over s1', 'volume']);
    expect(await vm.domstate()).toBe('running');
  });

  it('reverts the stopped VM to the newer, then to the older one; what nobody needs of the old branch goes', async () => {
    await vm.shutdown();
    await book.revert('s2', 'r1');
    for (const target of ['vda', 'vdb']) expect(await layers(target)).toEqual(['r1', 'over s1', 'volume']);
    await book.demandContents();
    await book.revert('s1', 'r2');
    for (const target of ['vda', 'vdb']) expect(await layers(target)).toEqual(['r2', 'volume']);
    // s2 lies beside the chain now, and nothing else does.
    expect((await files()).map((name) => book.nameOf(join(vm.dir, name))).sort()).toEqual(['over s1', 'over s1', 'r2', 'r2']);
    await book.demandContents();
  });

  it('undoes a revert of which one overlay could not be made, and refuses one whose layer is gone', async () => {
    const before = await files();
    const request = await book.revertRequest('s2');
    const volumes = request.volumes.map((volume) =>
      volume.target === 'vdb' ? { ...volume, newOverlayPath: join(vm.dir, 'missing', 'x.hr.qcow2') } : volume,
    );
    const wrong: RevertVmSnapshotRequest = { ...request, volumes };
    const end = await rig.end('RevertVmSnapshot', wrong);
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore' });
    const pinned = request.volumes[0]?.pinnedPath ?? '';
    await rename(pinned, `${pinned}.away`);
    try {
      const gone = await rig.end('RevertVmSnapshot', await book.revertRequest('s2'));
      expect(gone).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'BACKING_FILE_MISSING' } });
      expect(gone.error?.message).toContain(basename(pinned));
    } finally {
      await rename(`${pinned}.away`, pinned);
    }
    expect(await files()).toEqual(before);
    expect(await layers('vdb')).toEqual(['r2', 'volume']);
  });

  it('takes one of the stopped VM, and the guest has what the snapshot that it was reverted to had', async () => {
    await book.take('s3', { quiesce: 'try' });
    for (const target of ['vda', 'vdb']) expect(await layers(target)).toEqual(['over s3', 'r2', 'volume']);
    await book.demandContents();
    await vm.start();
    expect(await filesInGuest('vda')).toEqual(['one']);
    expect(await filesInGuest('vdb')).toEqual(['one']);
    await write('four');
  });

  it('deletes s1: its layer stays, because two branches lie on it', async () => {
    const changes = await book.delete('s1');
    expect(changes).toEqual({ removedPaths: [], leftPaths: [], movedPins: [] });
    expect(await layers('vda')).toEqual(['over s3', 'r2', 'volume']);
    await book.demandContents();
  });

  it('deletes s3: its layer and the current one become one under the running guest', async () => {
    const changes = await book.delete('s3');
    expect(changes.removedPaths.map((path) => basename(path).split('.')[0]).sort()).toEqual(['vda', 'vdb']);
    for (const target of ['vda', 'vdb']) expect(await layers(target)).toEqual(['r2', 'volume']);
    await book.demandContents();
    expect(await filesInGuest()).toEqual(['four', 'one']);
  });

  it('deletes s2: its branch goes, and nothing but the volume itself is left', async () => {
    await book.delete('s2');
    for (const target of ['vda', 'vdb']) expect(await layers(target)).toEqual(['volume']);
    expect(await files()).toEqual([]);
    expect(await filesInGuest('vda')).toEqual(['four', 'one']);
    expect(await filesInGuest('vdb')).toEqual(['four', 'one']);
    expect(await vm.domstate()).toBe('running');
  });

  it('takes and reverts a single disk; the other keeps its layers and its content', async () => {
    await book.take('volume only', { quiesce: 'no', targets: ['vdb'] });
    expect(await layers('vda')).toEqual(['volume']);
    expect(await layers('vdb')).toEqual(['over volume only', 'volume']);
    await write('five');
    await vm.shutdown();
    await book.revert('volume only', 'r3');
    expect(await layers('vdb')).toEqual(['r3', 'volume']);
    await book.demandContents();
    await vm.start();
    expect(await filesInGuest('vda')).toContain('five');
    expect(await filesInGuest('vdb')).not.toContain('five');
    await book.delete('volume only');
    expect(await layers('vdb')).toEqual(['volume']);
  });

  it('drops the record of a snapshot that virsh made, and never its files', async () => {
    const overlay = join(vm.dir, 'by virsh.qcow2');
    const disks = ['--diskspec', `vda,file=${overlay}`, '--diskspec', 'vdb,snapshot=no'];
    await host.virsh('snapshot-create-as', vm.uuid, `--name=-v "1"`, '--disk-only', '--atomic', ...disks);
    await book.take('over virsh', { quiesce: 'no' });
    await write('six');
    await book.delete('over virsh');
    // The overlay of virsh is not ours to merge, and what it lies on is held by the record.
    expect(await layers('vda')).toEqual(['by virsh.qcow2', 'volume']);
    expect((await host.virsh('snapshot-list', '--name', vm.uuid)).trim()).toBe('-v "1"');
    await book.forget(['-v "1"', 'never there']);
    expect((await host.virsh('snapshot-list', '--name', vm.uuid)).trim()).toBe('');
    expect(await layers('vda')).toEqual(['by virsh.qcow2', 'volume']);
    expect(existsSync(overlay)).toBe(true);
    expect(await filesInGuest()).toContain('six');
  });
});
