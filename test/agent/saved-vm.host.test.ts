/**
 * A VM that is saved with its memory in the middle of a backup (as libvirt-guests does with every VM when its host is shut
 * down): its saved state names the layers of that moment, so none of them may go before it has been started from it.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { bigintJson } from '../../apps/agent/src/commands/shared/bigint-json.js';
import type { CleanupBackupErrorRequest } from '../../apps/agent/src/commands/requests.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { run } from '../testbed/command.js';
import { imagesEqual } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
/** What happens once after a step, by its name. */
const after = new Map<string, () => Promise<unknown>>();
const save = (): Promise<unknown> => host.virsh('managedsave', vm.uuid);
const keys = new Map([['vda', randomUUID()]]);

beforeAll(async () => {
  host = await TestHost.create({ name: 'saved-vm' });
  vm = await TestVm.define(host, {
    name: 'sleeper',
    disks: [{ target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } }],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm, {
    undoPatienceMs: 1_000,
    breakpoints: {
      async reached(step, _subject, phase) {
        const act = phase === 'after' ? after.get(step) : undefined;
        after.delete(act === undefined ? '' : step);
        await act?.();
      },
    },
  });
});

afterAll(async () => {
  await host?.destroy();
});

async function backup(parent?: { id: string; result: TakeBackupResult }): Promise<{
  id: string;
  view: OperationView;
  result: TakeBackupResult;
}> {
  const request = await rig.backupRequest(keys, parent);
  const view = await rig.end('TakeBackup', request);
  return { id: request.backupId, view, result: bigintJson<TakeBackupResult>().decode(view.result ?? null) };
}

function cleanup(deltaPaths: string[]): Promise<OperationView> {
  const request: CleanupBackupErrorRequest = {
    header: rig.header(),
    volumes: [{ target: 'vda', deltaPaths, pins: [] }],
    ...{ unpublishedBackupIds: [], unusedDeltaPaths: [], dryRun: false, thaw: false },
  };
  return rig.end('CleanupBackupError', request);
}

/** What the definition starts from. */
async function defined(): Promise<string | undefined> {
  return (await rig.hypervisor.definedSources(vm.uuid)).get('vda');
}

/** Starts the VM and shows that it went on from its memory instead of booting. */
async function wakes(mark: string): Promise<void> {
  await host.virsh('start', vm.uuid);
  await vm.waitForGuest();
  expect((await vm.mustShell('cat /run/mark')).trim()).toBe(mark);
}

describe('a VM that is saved with its memory while it is backed up', () => {
  let first: Awaited<ReturnType<typeof backup>>;

  it('keeps every layer until it was started again, when the backup is published', async () => {
    first = await backup();
    expect(first.view).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    await vm.mustShell('echo published > /run/mark');
    after.set('publish-manifest', save);
    const second = await backup(first);
    expect(await vm.domstate()).toBe('shut off');
    expect(second.view).toMatchObject({ state: 'Succeeded', vmOutcome: 'MergePending' });
    expect(second.view.warnings.join()).toContain('saved with its memory');
    const deltaPaths = first.result.volumes.map(({ deltaPath }) => deltaPath ?? '');
    expect(await cleanup(deltaPaths)).toMatchObject({
      state: 'Failed',
      vmOutcome: 'MergePending',
      error: { code: 'WRONG_STATE' },
    });
    expect(await vm.chain('vda')).toHaveLength(3);
    await wakes('published');
    expect(await cleanup(deltaPaths)).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect(await vm.chain('vda')).toHaveLength(2);
    first = second;
  });

  it('keeps every layer until it was started again, when the backup is taken back', async () => {
    await vm.mustShell('echo unpublished > /run/mark');
    const request = await rig.backupRequest(keys, first);
    after.set('seal', async () => {
      await save();
      await rig.runner.cancel(request.header.operationId);
    });
    const view = await rig.end('TakeBackup', request);
    expect(await vm.domstate()).toBe('shut off');
    expect(view).toMatchObject({ state: 'Failed', vmOutcome: 'MergePending' });
    expect(view.error).toMatchObject({ code: 'CANCELLED', fields: { undoCode: 'WRONG_STATE' } });
    await wakes('unpublished');
    expect(await vm.chain('vda')).toHaveLength(3);
    const [volume] = request.volumes;
    expect(await cleanup([volume?.newDeltaPath ?? ''])).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect(await vm.chain('vda')).toHaveLength(2);
    const third = await backup(first);
    const reference = `${rig.folder}/reference.raw`;
    await vm.copyDisk('vda', reference);
    expect(third.view).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect(await imagesEqual(rig.file(third.id, keys.get('vda') ?? ''), 'qcow2', reference, 'raw')).toBe(true);
    first = third;
  });

  it('gets back the layer that its saved state names, when it was saved right before the snapshot', async () => {
    await vm.mustShell('echo before > /run/mark');
    const request = await rig.backupRequest(keys, first);
    const newPath = request.volumes[0]?.newDeltaPath ?? '';
    const before = await defined();
    after.set('prepare', save);
    const view = await rig.end('TakeBackup', request);
    expect(view).toMatchObject({ state: 'Failed', vmOutcome: 'MergePending', error: { code: 'WRONG_STATE' } });
    expect(view.error?.message).toContain('saved with its memory right before');
    // Set back while it sleeps: otherwise the guard would refuse its start, and rightly so.
    expect(await defined()).toBe(before);
    await wakes('before');
    expect(await cleanup([newPath])).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect((await vm.chain('vda')).map(({ filename }) => filename)).toEqual([before, expect.any(String)]);
    first = await backup(first);
    expect(first.view).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
  });

  it('is defined again on the layer that it woke on, when it was started before its snapshot was taken back', async () => {
    await vm.mustShell('echo woken > /run/mark');
    const before = await defined();
    const request = await rig.backupRequest(keys, first);
    after.set('prepare', save);
    after.set('snapshot', () => host.virsh('start', vm.uuid));
    const view = await rig.end('TakeBackup', request);
    expect(view).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore' });
    expect((await vm.mustShell('cat /run/mark')).trim()).toBe('woken');
    expect(await defined()).toBe(before);
    first = await backup(first);
    expect(first.view).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
  });

  it('keeps a layer that somebody has written to, although its saved state does not name it', async () => {
    await vm.mustShell('echo written > /run/mark');
    const request = await rig.backupRequest(keys, first);
    const newPath = request.volumes[0]?.newDeltaPath ?? '';
    after.set('prepare', save);
    after.set('snapshot', () => run(['qemu-io', '-f', 'qcow2', '-c', 'write -z 0 64k', newPath]));
    const view = await rig.end('TakeBackup', request);
    expect(view).toMatchObject({ state: 'Failed', vmOutcome: 'MergePending' });
    expect(await defined()).toBe(newPath);
    await host.virsh('start', vm.uuid);
    expect(await cleanup([newPath])).toMatchObject({ state: 'Failed', vmOutcome: 'MergePending' });
    expect(await defined()).toBe(newPath);
  });
});
