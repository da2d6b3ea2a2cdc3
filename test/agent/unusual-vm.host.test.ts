/** A real VM as some owners have them: no guest agent, and files with names that mean something to shells and tools. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { access, chmod, chown, mkdir, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { imagesEqual } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig, type RestoreBackupResult, type TakeBackupResult } from './command-rig.js';

/** A line end is the one thing that libvirt cannot take in a path. */
const FOLDER = `-o it's "odd" $(touch subst) %41%s 100% fat:rw: #1 \\t`;
/** Nor can it put new layers there while the VM is off. */
const FOLDER_WITH_COMMA = 'disks, of a VM';
const NAMES = { vda: `-U, file=x: nbd:y $(id) 'a' "b" %20.qcow2`, vdb: `json:{"driver":"raw"},,b;c | d & e*?.raw` };

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
const keys = new Map(Object.keys(NAMES).map((target) => [target, randomUUID()]));
let copies = 0;

beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-unusual' });
  vm = await TestVm.define(host, {
    name: 'unusual',
    agent: false,
    dir: join(host.dir, 'images', FOLDER),
    disks: [
      { target: 'vda', sizeMiB: 32, content: { label: 'a' }, fileName: NAMES.vda },
      { target: 'vdb', sizeMiB: 16, format: 'raw', content: { label: 'b' }, fileName: NAMES.vdb },
    ],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm);
});

afterAll(async () => {
  await host?.destroy();
});

/** Writes something, and keeps what the disks hold then. */
async function write(name: string): Promise<Map<string, string>> {
  await vm.fillRandom(`/mnt/vda/${name}`, 1, name);
  await vm.fillRandom(`/mnt/vdb/${name}`, 1, name);
  await vm.mustShell('sync');
  const files = new Map<string, string>();
  for (const target of keys.keys()) {
    copies += 1;
    const file = join(host.dir, `reference-${copies}.raw`);
    await vm.copyDisk(target, file);
    files.set(target, file);
  }
  return files;
}

async function demandBackup(id: string, expected: ReadonlyMap<string, string>): Promise<void> {
  for (const [target, key] of keys) {
    expect([target, await imagesEqual(rig.file(id, key), 'qcow2', expected.get(target) ?? '', 'raw')]).toEqual([target, true]);
  }
}

/** Of a qcow2 disk: raw ones have no place for a bitmap. */
const checkpointOf = (target: string): string[] => ['--diskspec', `${target},checkpoint=${target === 'vda' ? 'bitmap' : 'no'}`];

/** What a failed or refused operation must not change. */
async function state() {
  const backups = join(rig.storage.source, 'backups', vm.uuid);
  return {
    disks: await vm.diskPaths(),
    files: await readdir(vm.dir),
    backups: await readdir(backups).catch(() => []),
    power: await vm.domstate(),
  };
}

describe('a VM without guest agent, whose files have odd names', () => {
  let full: { id: string; result: TakeBackupResult };
  let second: { id: string; result: TakeBackupResult };
  let secondContent: Map<string, string>;

  it('is not backed up when it must be quiesced, and nothing is touched', async () => {
    const before = await state();
    const request = await rig.backupRequest(keys, undefined, { quiesce: 'require' });
    const end = await rig.end('TakeBackup', request);
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'GUEST_AGENT_MISSING' } });
    expect(end.error?.message).toBe(
      'VM unusual cannot be quiesced: it has no guest agent connected. Install and start qemu-guest-agent in the guest, or ask for quiesce "try" or "no".',
    );
    // Refused before anything was made, not taken back.
    expect(end.steps.map(({ name }) => name)).toEqual(['preflight']);
    expect(await state()).toEqual(before);
  });

  it('is backed up crash-consistent, with a warning, when it shall be quiesced if it can', async () => {
    const content = await write('one');
    const request = await rig.backupRequest(keys, undefined, { quiesce: 'try' });
    const end = await rig.end('TakeBackup', request);
    expect(end).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter' });
    expect(end.warnings).toEqual(['Not quiesced: it has no guest agent connected. The backup is crash-consistent.']);
    full = { id: request.backupId, result: rig.resultOf<TakeBackupResult>(end) };
    expect(full.result).toMatchObject({ quiesced: false, frozenMs: 0 });
    await demandBackup(full.id, content);
  });

  it('is backed up incrementally, running and stopped', async () => {
    secondContent = await write('two');
    const request = await rig.backupRequest(keys, full);
    second = { id: request.backupId, result: await rig.run<TakeBackupResult>('TakeBackup', request) };
    await demandBackup(second.id, secondContent);
    const content = await write('three');
    await vm.destroy();
    const last = await rig.backupRequest(keys, second, { endOfChain: true });
    await rig.run('TakeBackup', last);
    await demandBackup(last.backupId, content);
    // Every delta went back into the file with the odd name.
    expect(await vm.currentFile('vda')).toBe(join(vm.dir, NAMES.vda));
    expect(await vm.currentFile('vdb')).toBe(join(vm.dir, NAMES.vdb));
  });

  it('whose file QEMU may not read any more while it runs: the backup is taken back, and says what to look at', async () => {
    await vm.start();
    const file = (await vm.currentFile('vda')) ?? '';
    const { uid, gid } = await stat(file);
    const before = await state();
    await chown(file, 0, 0);
    await chmod(file, 0o600);
    try {
      const end = await rig.end('TakeBackup', await rig.backupRequest(keys, undefined));
      expect(end).toMatchObject({
        state: 'Failed',
        vmOutcome: 'AsBefore',
        error: { code: 'IMAGE_LOCKED', fields: { path: file } },
      });
      expect(end.error?.message).toContain('QEMU may not read it any more');
      expect(await state()).toEqual(before);
    } finally {
      await chown(file, uid, gid);
    }
    const content = await write('mended');
    const request = await rig.backupRequest(keys, undefined, { endOfChain: true });
    await rig.run('TakeBackup', request);
    await demandBackup(request.backupId, content);
    expect(await state()).toMatchObject({ disks: before.disks, files: before.files });
    await vm.destroy();
  });

  it('has a checkpoint of another tool: backed up while it runs; off, libvirt refuses, and the checkpoint is named', async () => {
    await vm.start();
    await host.virsh('checkpoint-create-as', vm.uuid, 'nightly-a', ...[...keys.keys()].flatMap(checkpointOf));
    const content = await write('four');
    const isolated = { isolated: true };
    const running = await rig.backupRequest(keys, undefined, isolated);
    await rig.run('TakeBackup', running);
    await demandBackup(running.backupId, content);
    await vm.destroy();
    const before = await state();
    const end = await rig.end('TakeBackup', await rig.backupRequest(keys, undefined, isolated));
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'WRONG_STATE' } });
    expect(end.error?.message).toContain('off and has a checkpoint of another tool (nightly-a). Start the VM, or delete');
    expect(await state()).toEqual(before);
    await host.virsh('checkpoint-delete', vm.uuid, 'nightly-a', '--metadata');
    const stopped = await rig.backupRequest(keys, undefined, isolated);
    await rig.run('TakeBackup', stopped);
    await demandBackup(stopped.backupId, content);
  });

  it('is restored to wherever it shall be, and starts from its new files', async () => {
    const before = await vm.diskPaths();
    const folder = join(host.dir, 'images', FOLDER_WITH_COMMA);
    await mkdir(folder);
    const volumes = [...keys].map(([target, key]) => {
      const currentPath = before[target]?.inactive ?? '';
      return { key, target, currentPath, newPath: join(folder, `${basename(currentPath)}.restored.qcow2`) };
    });
    const result = await rig.run<RestoreBackupResult>('RestoreBackup', rig.restoreRequest(second.id, volumes));
    expect(result.volumes.map(({ oldPaths }) => oldPaths)).toEqual(volumes.map(({ currentPath }) => [currentPath]));
    for (const { target, newPath } of volumes) {
      expect(await vm.currentFile(target)).toBe(newPath);
      expect(await imagesEqual(newPath, 'qcow2', secondContent.get(target) ?? '', 'raw')).toBe(true);
    }
  });

  it('is backed up in a folder with a comma while it runs; off, that is refused before anything is touched', async () => {
    const before = await state();
    const request = await rig.backupRequest(keys, undefined);
    const end = await rig.end('TakeBackup', request);
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error: { code: 'DISK_UNSUPPORTED' } });
    expect(end.error?.message).toContain(`lies in ${join(host.dir, 'images', FOLDER_WITH_COMMA)}, and libvirt cannot`);
    expect(end.steps.map(({ name }) => name)).toEqual(['preflight']);
    expect(await state()).toEqual(before);
    await vm.start();
    expect(await vm.mustShell('ls /mnt/vda /mnt/vdb | grep -c two')).toBe('2\n');
    const content = await write('four');
    const running = await rig.backupRequest(keys, undefined, { endOfChain: true });
    await rig.run('TakeBackup', running);
    await demandBackup(running.backupId, content);
    for (const target of keys.keys()) expect(await vm.currentFile(target)).toBe(before.disks[target]?.inactive);
    // No shell has read any of the names.
    for (const place of [process.cwd(), host.dir, vm.dir, '/']) await expect(access(join(place, 'subst'))).rejects.toThrow();
  });
});
