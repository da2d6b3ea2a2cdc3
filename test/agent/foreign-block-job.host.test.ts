/**
 * Somebody else copies a disk of a running VM (virsh blockcopy) and leaves the copy ready, as a storage move does before its
 * cut-over: a merge must neither wait for that job without end nor pivot the VM onto the copy.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { bigintJson } from '../../apps/agent/src/commands/shared/bigint-json.js';
import type { CleanupBackupErrorRequest, TakeBackupRequest } from '../../apps/agent/src/commands/requests.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CommandRig, hurriedClock, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
let copyAfter: string | undefined;
const keys = new Map([['vda', randomUUID()]]);
const copy = (): string => join(vm.dir, 'elsewhere.qcow2');

beforeAll(async () => {
  host = await TestHost.create({ name: 'foreign-job' });
  vm = await TestVm.define(host, {
    name: 'on the move',
    disks: [{ target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } }],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm, {
    clock: hurriedClock(10),
    breakpoints: {
      async reached(step, _subject, phase) {
        if (step !== copyAfter || phase !== 'after') return;
        copyAfter = undefined;
        // libvirt copies persistent domains only when it is told that the job may not outlive them.
        await host.virsh('blockcopy', vm.uuid, 'vda', '--dest', copy(), '--format', 'qcow2', '--transient-job', '--wait');
      },
    },
  });
});

afterAll(async () => {
  await host?.destroy();
});

async function backup(
  parent?: { id: string; result: TakeBackupResult },
  wish: Partial<Pick<TakeBackupRequest, 'endOfChain'>> = {},
): Promise<{ id: string; request: TakeBackupRequest; view: OperationView; result: TakeBackupResult }> {
  const request = await rig.backupRequest(keys, parent, wish);
  const view = await rig.end('TakeBackup', request);
  return { id: request.backupId, request, view, result: bigintJson<TakeBackupResult>().decode(view.result ?? null) };
}

function cleanup(deltaPaths: readonly string[]): Promise<OperationView> {
  const request: CleanupBackupErrorRequest = {
    header: rig.header(),
    volumes: [{ target: 'vda', deltaPaths: [...deltaPaths], pins: [] }],
    ...{ unpublishedBackupIds: [], unusedDeltaPaths: [], dryRun: false, thaw: false },
  };
  return rig.end('CleanupBackupError', request);
}

const job = (): Promise<string> => host.virsh('blockjob', vm.uuid, 'vda', '--info', '--raw');

async function endCopy(): Promise<void> {
  await host.virsh('blockjob', vm.uuid, 'vda', '--abort');
  await waitUntil('the copy has ended', async () => !(await job()).includes('type='));
  await host.run(['rm', '-f', copy()]);
}

describe('a disk that somebody else copies while a backup is taken', () => {
  it.each([
    ['an older delta', false],
    ['the layer in use', true],
  ])('keeps %s until the copy has ended, and is never switched to the copy', async (_what, endOfChain) => {
    const first = await backup();
    await vm.writeFile('/mnt/vda/mark', `before ${endOfChain}`);
    copyAfter = 'publish-manifest';
    const second = await backup(first, { endOfChain });
    expect(second.view).toMatchObject({ state: 'Succeeded', vmOutcome: 'MergePending' });
    expect(second.view.warnings.join()).toContain('Somebody else runs a block job on disk vda');
    expect(await job()).toContain('type=Block Copy');
    expect(await vm.currentFile('vda')).toBe(second.request.volumes[0]?.newDeltaPath);
    expect(await vm.domstate()).toBe('running');

    const paths = second.request.volumes[0]?.mergeDeltaPaths ?? [];
    expect(await cleanup(paths)).toMatchObject({ state: 'Failed', vmOutcome: 'MergePending', error: { code: 'FILE_IN_USE' } });
    // A new layer under a running copy is refused by libvirt itself.
    const third = await backup();
    expect(third.view).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'TOOL_FAILED' } });
    expect(third.view.error?.message).toContain('block job');
    await endCopy();
    expect(await cleanup(paths)).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect(await vm.chain('vda')).toHaveLength(endOfChain ? 1 : 2);
    expect(String(await vm.readFile('/mnt/vda/mark'))).toBe(`before ${endOfChain}`);
    if (!endOfChain) await cleanup([second.request.volumes[0]?.newDeltaPath ?? '']);
  });
});
