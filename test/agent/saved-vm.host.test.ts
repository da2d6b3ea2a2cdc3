/**
 * A VM that is saved with its memory in the middle of a backup (as libvirt-guests does with every VM when its host is shut
 * down): its saved state names the layers of that moment, so none of them may go before it has been started from it.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { bigintJson } from '../../apps/agent/src/commands/shared/bigint-json.js';
import type { CleanupBackupErrorRequest } from '../../apps/agent/src/commands/requests.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { imagesEqual } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
/** The step after which the VM is saved, and what is done then. */
let save: { readonly after: string; readonly then?: () => unknown } | undefined;
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
        if (step !== save?.after || phase !== 'after') return;
        const { then } = save;
        save = undefined;
        await host.virsh('managedsave', vm.uuid);
        await then?.();
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
    save = { after: 'publish-manifest' };
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
    save = { after: 'seal', then: () => rig.runner.cancel(request.header.operationId) };
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
  });
});
