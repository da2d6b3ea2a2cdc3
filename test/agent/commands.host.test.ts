/** The agent's commands on a real VM, without a manager: what is copied, what stays on primary, what a restore brings back. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreBackupRequest } from '../../apps/agent/src/commands/requests.js';
import { run } from '../testbed/command.js';
import { imagesEqual } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CommandRig, type RestoreBackupResult, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
const keys = new Map([
  ['vda', randomUUID()],
  ['vdb', randomUUID()],
]);
let copies = 0;
/** What happens right before a step. */
let before: { step: string; act: () => Promise<void> } | undefined;

beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-commands' });
  vm = await TestVm.define(host, {
    name: `it's a "VM" & <more>; $(true)`,
    disks: [
      { target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } },
      { target: 'vdb', sizeMiB: 32, format: 'raw', content: { label: 'vdb', files: {} } },
    ],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm, {
    breakpoints: {
      async reached(step, _subject, phase) {
        if (phase === 'before' && step === before?.step) await before.act();
      },
    },
  });
});

afterAll(async () => {
  await host?.destroy();
});

/** Writes something, and keeps what the disks hold then. */
async function write(name: string): Promise<Map<string, string>> {
  await vm.fillRandom(`/mnt/vda/${name}`, 2, name);
  await vm.fillRandom(`/mnt/vdb/${name}`, 1, name);
  await vm.mustShell('sync');
  return reference();
}

async function reference(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const target of keys.keys()) {
    copies += 1;
    const file = join(host.dir, `reference-${copies}.raw`);
    await vm.copyDisk(target, file);
    files.set(target, file);
  }
  return files;
}

async function backup(
  parent: { id: string; result: TakeBackupResult } | undefined,
  expected: ReadonlyMap<string, string>,
  wish: Parameters<CommandRig['backupRequest']>[2] = {},
): Promise<{ id: string; result: TakeBackupResult }> {
  const request = await rig.backupRequest(keys, parent, wish);
  const result = await rig.run<TakeBackupResult>('TakeBackup', request);
  for (const [target, key] of keys) {
    const same = await imagesEqual(rig.file(request.backupId, key), 'qcow2', expected.get(target) ?? '', 'raw');
    if (!same) throw new Error(`backup of ${target} differs from the disk at the freeze`);
  }
  return { id: request.backupId, result };
}

/** Damages a file without changing its size, or mends it again. The byte is in the data, not in the tables of the image. */
async function flipByte(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const { size } = await handle.stat();
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, size - 4096);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    await handle.write(byte, 0, 1, size - 4096);
  } finally {
    await handle.close();
  }
}

const depth = async (target: string): Promise<number> => (await vm.chain(target)).length;

describe('the commands of the agent on a real VM', () => {
  let full: { id: string; result: TakeBackupResult };
  let second: { id: string; result: TakeBackupResult };
  let secondContent: Map<string, string>;

  it('takes a full backup of the running VM and leaves one delta per volume', async () => {
    full = await backup(undefined, await write('one'));
    expect(await depth('vda')).toBe(2);
    expect(await depth('vdb')).toBe(2);
    expect(full.result.volumes.every((volume) => volume.copiedInFull)).toBe(true);
  });

  it('takes an incremental backup over a foreign snapshot and merges the parent delta alone', async () => {
    await write('two');
    await vm.snapshotByHand({ vda: `${vm.dir}/foreign.qcow2` });
    secondContent = await write('three');
    second = await backup(full, secondContent);
    // vol ← foreign ← delta, and vol ← delta.
    expect(await depth('vda')).toBe(3);
    expect(await depth('vdb')).toBe(2);
    expect(second.result.sizeBytes).toBeLessThan(full.result.sizeBytes + 12_000_000n);
  });

  it('takes an isolated backup that leaves the chain as it was', async () => {
    const before = [await vm.chain('vda'), await vm.chain('vdb')].map((chain) => chain.map((layer) => layer.filename));
    await backup(second, await write('four'), { isolated: true });
    const after = [await vm.chain('vda'), await vm.chain('vdb')].map((chain) => chain.map((layer) => layer.filename));
    expect(after).toEqual(before);
    expect(await vm.domstate()).toBe('running');
  });

  it('lets the guest go on before it looks at the new layers, and another layer over them is no drift', async () => {
    const foreign = join(vm.dir, 'over-ours.qcow2');
    let status = '';
    before = {
      step: 'look',
      act: async () => {
        status = await vm.fsfreezeStatus();
        await vm.snapshotByHand({ vda: foreign });
      },
    };
    try {
      const request = await rig.backupRequest(keys, second, { isolated: true, quiesce: 'require' });
      expect((await rig.run<TakeBackupResult>('TakeBackup', request)).quiesced).toBe(true);
    } finally {
      before = undefined;
    }
    expect(status).toBe('thawed');
    const [top, below] = (await vm.chain('vda')).map((layer) => layer.filename);
    expect(top).toBe(foreign);
    const job = ['--top', foreign, '--base', below ?? '', '--active', '--pivot', '--wait'];
    await host.virsh('blockcommit', vm.uuid, 'vda', ...job);
  });

  it('refuses a quiesced backup of a paused VM, whose guest cannot flush, before anything is touched', async () => {
    const chains = async () => [await vm.chain('vda'), await vm.chain('vdb')].flat().map((layer) => layer.filename);
    const untouched = await chains();
    await host.virsh('suspend', vm.uuid);
    try {
      const request = await rig.backupRequest(keys, undefined, { isolated: true, quiesce: 'require' });
      const end = await rig.end('TakeBackup', request);
      expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'WRONG_STATE' } });
      expect(end.steps.map(({ name }) => name)).not.toContain('snapshot');
      expect(await chains()).toEqual(untouched);
      expect(await vm.domstate()).toBe('paused');
    } finally {
      await host.virsh('resume', vm.uuid);
    }
  });

  /** Takes a quiesced backup while `strike` cuts off its freeze call; what it leaves going on is waited for in the end. */
  async function backupWithFreezeCutOff(
    strike: () => Promise<{ readonly over: Promise<void> }>,
    wish: Parameters<CommandRig['backupRequest']>[2],
  ): Promise<void> {
    let over: Promise<void> | undefined;
    before = {
      step: 'freeze',
      act: async () => {
        ({ over } = await strike());
      },
    };
    const request = await rig.backupRequest(keys, second, { ...wish, quiesce: 'require' });
    const result = await rig.run<TakeBackupResult>('TakeBackup', request).finally(async () => {
      before = undefined;
      await over;
    });
    expect(result.quiesced).toBe(true);
    expect(result.frozenMs).toBeGreaterThan(0);
    expect(await vm.fsfreezeStatus()).toBe('thawed');
  }

  it('freezes the guest once more when the call was killed', async () => {
    // The rig runs its tools as children of this process.
    const kill = ['pkill', '-KILL', '-P', String(process.pid), '-f', 'guest-fsfreeze-freeze'];
    const strike = async () => {
      // Otherwise the call may end before it is found.
      await host.pauseLibvirtd();
      const killed = waitUntil('the freeze call runs', async () => [await run(kill)]);
      return { over: killed.then(() => undefined).finally(() => host.continueLibvirtd()) };
    };
    await backupWithFreezeCutOff(strike, { isolated: true });
  });

  it('freezes the guest, once more after libvirtd died in the call, and closes a chain without any delta left', async () => {
    const strike = async () => {
      await host.killLibvirtd();
      return { over: sleep(1_000).then(() => host.startLibvirtd()) };
    };
    await backupWithFreezeCutOff(strike, { endOfChain: true });
    expect(await depth('vda')).toBe(2);
    expect(await depth('vdb')).toBe(1);
    expect((await vm.digests('/mnt/vda/one'))['/mnt/vda/one']).toBeDefined();
  });

  it('does the same for the stopped VM', async () => {
    await write('five');
    await vm.shutdown();
    const first = await backup(undefined, await reference());
    await vm.start();
    await write('six');
    await vm.shutdown();
    await backup(first, await reference(), { endOfChain: true });
    expect(await depth('vda')).toBe(2);
    expect(await depth('vdb')).toBe(1);
    await vm.start();
    expect(await vm.digests('/mnt/vda/six', '/mnt/vdb/six')).toBeDefined();
  });

  it('refuses to restore a damaged backup, and leaves the VM as it was', async () => {
    await vm.shutdown();
    const before = { vda: await vm.currentFile('vda'), vdb: await vm.currentFile('vdb') };
    const file = rig.file(full.id, keys.get('vda') ?? '');
    const wish = [...keys].map(([target, key]) => ({
      key,
      target,
      currentPath: target === 'vda' ? before.vda : before.vdb,
      newPath: join(vm.dir, `${target}.damaged.qcow2`),
    }));
    await flipByte(file);
    try {
      // The damaged file is an ancestor: the backup that is restored is whole itself.
      const end = await rig.end('RestoreBackup', rig.restoreRequest(second.id, wish));
      expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'BACKUP_DAMAGED' } });
      expect(end.error?.message).toContain(file);
      expect({ vda: await vm.currentFile('vda'), vdb: await vm.currentFile('vdb') }).toEqual(before);
      expect((await readdir(vm.dir)).filter((name) => name.includes('damaged'))).toEqual([]);
    } finally {
      await flipByte(file);
    }
    await vm.start();
  });

  it('restores a backup into new files with one define', async () => {
    await vm.shutdown();
    const before = { vda: await vm.currentFile('vda'), vdb: await vm.currentFile('vdb') };
    const request = rig.restoreRequest(
      second.id,
      [...keys].map(([target, key]) => ({
        key,
        target,
        currentPath: target === 'vda' ? before.vda : before.vdb,
        newPath: join(vm.dir, `${target}.restored.qcow2`),
      })),
    );
    const result = await rig.run<RestoreBackupResult>('RestoreBackup', request);
    expect(result.volumes.map((volume) => volume.oldPaths[0])).toEqual([before.vda, before.vdb]);
    for (const target of keys.keys()) {
      expect(await imagesEqual(await vm.currentFile(target), 'qcow2', secondContent.get(target) ?? '', 'raw')).toBe(true);
    }
    await vm.start();
    await expect(vm.readFile('/mnt/vda/four')).rejects.toThrow();
  });

  it('brings a VM back that is gone, with its NVRAM, and says that the state of its TPM is no part of it', async () => {
    await vm.shutdown();
    const nvram = join(vm.dir, 'nvram file.fd');
    await writeFile(nvram, 'variables of the firmware');
    const definition = join(host.dir, 'with-nvram.xml');
    const xml = await vm.xml('inactive');
    await writeFile(
      definition,
      xml
        .replace('</type>', `</type><loader readonly='yes' type='pflash'>/usr/share/firmware.fd</loader><nvram>${nvram}</nvram>`)
        .replace('</devices>', `<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm></devices>`),
    );
    await host.virsh('define', definition);
    const content = await reference();
    const asked = await rig.backupRequest(keys, undefined);
    const taken = await rig.end('TakeBackup', asked);
    expect(taken).toMatchObject({ state: 'Succeeded', warnings: [expect.stringContaining('emulated TPM')] });
    await host.virsh('undefine', vm.uuid, '--keep-nvram');
    await rm(nvram);
    const wish = [...keys].map(([target, key]) => ({ key, target, newPath: join(vm.dir, `${target}.back.qcow2`) }));
    const request: RestoreBackupRequest = { ...rig.restoreRequest(asked.backupId, wish), defineMissingAs: 'back again' };
    const back = await rig.end('RestoreBackup', request);
    expect(back).toMatchObject({ state: 'Succeeded', warnings: [expect.stringContaining('emulated TPM')] });
    expect(await readFile(nvram, 'utf8')).toBe('variables of the firmware');
    expect((await host.virsh('domname', vm.uuid)).trim()).toBe('back again');
    for (const target of keys.keys()) {
      expect(await imagesEqual(await vm.currentFile(target), 'qcow2', content.get(target) ?? '', 'raw')).toBe(true);
    }
  });
});
