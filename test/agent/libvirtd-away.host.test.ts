/** libvirtd dies when a backup has just been published, and stays away: the backup is a backup all the same. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { bigintJson } from '../../apps/agent/src/commands/shared/bigint-json.js';
import type { CleanupBackupErrorRequest } from '../../apps/agent/src/commands/requests.js';
import { imagesEqual } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig, hurriedClock, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
let dies = false;
const keys = new Map([['vda', randomUUID()]]);

beforeAll(async () => {
  host = await TestHost.create({ name: 'libvirtd-away' });
  vm = await TestVm.define(host, {
    name: 'left alone',
    disks: [{ target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } }],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm, {
    clock: hurriedClock(100),
    undoPatienceMs: 1_000,
    breakpoints: {
      async reached(step, _subject, phase) {
        if (dies && step === 'publish-manifest' && phase === 'after') await host.killLibvirtd();
      },
    },
  });
});

afterAll(async () => {
  await host?.destroy();
});

async function backup(parent?: { id: string; result: TakeBackupResult }): Promise<{
  id: string;
  state: string;
  vmOutcome: string | undefined;
  warnings: readonly string[];
  result: TakeBackupResult;
}> {
  const request = await rig.backupRequest(keys, parent);
  const { state, vmOutcome, warnings, result } = await rig.end('TakeBackup', request);
  return {
    ...{ id: request.backupId, state, vmOutcome, warnings },
    result: bigintJson<TakeBackupResult>().decode(result ?? null),
  };
}

describe('a backup whose libvirtd dies after it was published', () => {
  it('is told as taken, its merge as pending, and the merge is done when libvirtd is back', async () => {
    const first = await backup();
    expect(first).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    await vm.fillRandom('/mnt/vda/since', 1, 'since');
    dies = true;
    const second = await backup(first);
    dies = false;
    expect(second).toMatchObject({ state: 'Succeeded', vmOutcome: 'MergePending' });
    expect(second.warnings.join()).toContain('not merged yet');
    const [volume] = second.result.volumes;
    expect(volume).toMatchObject({ target: 'vda', copiedInFull: false });
    expect(volume?.deltaPath).toContain(second.id);

    await host.startLibvirtd();
    // vol ← the first delta ← the second: nothing was merged, and the guest has gone on.
    expect(await vm.chain('vda')).toHaveLength(3);
    await vm.mustShell('true');
    const deltaPaths = first.result.volumes.map(({ deltaPath }) => deltaPath ?? '');
    const cleanup: CleanupBackupErrorRequest = {
      header: rig.header(),
      volumes: [{ target: 'vda', deltaPaths, pins: [] }],
      ...{ unpublishedBackupIds: [], unusedDeltaPaths: [], dryRun: false, thaw: false },
    };
    await rig.run('CleanupBackupError', cleanup);
    expect(await vm.chain('vda')).toHaveLength(2);
    const reference = `${rig.folder}/reference.raw`;
    const third = await backup(second);
    await vm.copyDisk('vda', reference);
    expect(third).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect(await imagesEqual(rig.file(third.id, keys.get('vda') ?? ''), 'qcow2', reference, 'raw')).toBe(true);
  });
});
