/** Proves that the test bed itself does what the other tests rely on: real hosts, VMs, migrations and deaths. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, knownBytes, knownFiles } from './content.js';
import { ext4Digests } from './ext4-files.js';
import { createImage, imagesEqual } from './images.js';
import { TestHost } from './test-host.js';
import { TestVm } from './test-vm.js';

const mib = 1024 * 1024;

describe('a test host with a VM', () => {
  let host: TestHost;
  let other: TestHost;
  let vm: TestVm;

  beforeAll(async () => {
    host = await TestHost.create({ name: 'testbed-a' });
    other = await TestHost.create({ name: 'testbed-b' });
    vm = await TestVm.define(host, {
      name: `it's a "test" <vm> & $(more); ü`,
      disks: [
        { target: 'vda', sizeMiB: 128, content: { label: 'data', files: await knownFiles(3) } },
        { target: 'vdb', sizeMiB: 64, format: 'raw', fileName: `odd '"<& $(x).raw`, content: {} },
        { target: 'vdc', sizeMiB: 16 },
      ],
    });
    await vm.start();
  });

  afterAll(async () => {
    await other?.destroy();
    await host?.destroy();
  });

  it('shows the guest the known content of its disks and keeps what it writes', async () => {
    const known = digestOf(await knownBytes('file 2', 64 * 1024));
    await vm.writeFile('/mnt/vdb/a note', 'hello');
    await vm.fillRandom('/mnt/vda/big', 20, 'seed');
    expect((await vm.readFile('/mnt/vdb/a note')).toString()).toBe('hello');
    expect(await vm.digests('/mnt/vda/file 2', '/mnt/vda/big')).toEqual({
      '/mnt/vda/file 2': known,
      '/mnt/vda/big': digestOf(await knownBytes('seed', 20 * mib)),
    });
    expect(await vm.exec('/bin/sh', ['-c', 'cat; exit 3'], { input: 'in' })).toEqual({ exitCode: 3, stdout: 'in', stderr: '' });
  });

  it('freezes and thaws its file systems, and answers the control shell meanwhile', async () => {
    await host.virsh('domfsfreeze', vm.uuid);
    expect(await vm.fsfreezeStatus()).toBe('frozen');
    expect((await vm.shell('cat "/mnt/vdb/a note"')).output).toBe('hello');
    await host.virsh('domfsthaw', vm.uuid);
    expect(await vm.fsfreezeStatus()).toBe('thawed');
  });

  it('takes a snapshot and commits it back while the guest runs', async () => {
    await host.virsh(
      ...['snapshot-create-as', vm.uuid, '--disk-only', '--atomic', '--no-metadata', '--quiesce'],
      ...['--diskspec', `vda,file=${vm.dir}/vda.1.qcow2`],
      ...['--diskspec', 'vdb,snapshot=no', '--diskspec', 'vdc,snapshot=no'],
    );
    const top = join(vm.dir, 'vda.1.qcow2');
    expect((await vm.diskPaths())['vda']).toEqual({ live: top, inactive: top });
    expect((await vm.chain('vda')).map((layer) => layer.filename)).toEqual([top, join(vm.dir, 'vda.qcow2')]);
    await vm.writeFile('/mnt/vda/after', 'written after the snapshot');
    await host.virsh('blockcommit', vm.uuid, 'vda', '--active', '--pivot', '--wait');
    expect(await vm.chain('vda')).toHaveLength(1);
  });

  it('copies what a disk contains, independent of what the guest does later', async () => {
    const reference = join(host.dir, 'reference.raw');
    await vm.copyDisk('vdb', reference);
    await vm.writeFile('/mnt/vdb/later', 'changed');
    await vm.copyDisk('vdb', `${reference}.2`);
    expect(await imagesEqual(reference, 'raw', `${reference}.2`, 'raw')).toBe(false);
    await vm.copyDisk('vdb', reference);
    expect(await imagesEqual(reference, 'raw', `${reference}.2`, 'raw')).toBe(true);
  });

  it('has an agent that can hang and come back', async () => {
    await vm.hangAgent();
    const hung = await host.tryVirsh('qemu-agent-command', vm.uuid, '--timeout', '2', '{"execute":"guest-ping"}');
    expect(hung.exitCode).toBe(1);
    await vm.resumeAgent();
    await vm.waitForAgent();
  });

  it('migrates live to another host', async () => {
    await host.virsh('migrate', '--live', '--persistent', '--undefinesource', '--unsafe', vm.uuid, other.uri, 'tcp://127.0.0.1');
    vm = vm.onHost(other);
    expect(await vm.domstate()).toBe('running');
    expect((await vm.readFile('/mnt/vdb/a note')).toString()).toBe('hello');
  });

  it('keeps its VM through the death of libvirtd, and tells a killed QEMU from a shutdown', async () => {
    await other.killLibvirtd();
    expect((await other.tryVirsh('list')).exitCode).toBe(1);
    await other.startLibvirtd();
    expect(await vm.domstate()).toBe('running');
    await vm.killQemu();
    await vm.waitForState('shut off');
    // "daemon": libvirtd was still looking after its restart when QEMU died.
    expect(await other.virsh('domstate', '--reason', vm.uuid)).toMatch(/crashed|daemon/);
    await vm.start();
    await vm.shutdown();
    expect(await other.virsh('domstate', '--reason', vm.uuid)).toContain('shutdown');
  });

  it('loses everything that runs when its power fails, and nothing that was written', async () => {
    await vm.start();
    const child = await other.spawn(['sleep', '1000']);
    const before = await other.processes();
    expect(before.some((one) => one.argv[0] === 'sleep')).toBe(true);
    await other.powerLoss();
    expect(await child.exited).toBe('SIGKILL');
    const pids = await readdir('/proc');
    expect(before.filter((one) => pids.includes(String(one.outerPid)))).toEqual([]);
    await other.boot();
    expect(await vm.domstate()).toBe('shut off');
    await vm.start();
    expect((await vm.readFile('/mnt/vdb/a note')).toString()).toBe('hello');
  });

  it('runs a guest without an agent', async () => {
    const silent = await TestVm.define(host, {
      name: 'silent',
      agent: false,
      disks: [{ target: 'vda', sizeMiB: 16, content: {} }],
    });
    await silent.start();
    expect((await host.tryVirsh('qemu-agent-command', silent.uuid, '{"execute":"guest-ping"}')).exitCode).toBe(1);
    expect(await silent.mustShell('ls /mnt')).toBe('vda\n');
    await silent.shutdown();
    await silent.remove();
    expect(await host.virsh('list', '--all', '--name')).not.toContain('silent');
  });
});

describe('files in an image', () => {
  it('are read without a guest: as they were put there, or not at all', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-files-'));
    try {
      const file = join(dir, 'disk.qcow2');
      await createImage({ file, format: 'qcow2', sizeMiB: 16, content: { files: { two: 'two' } } });
      const digests = await ext4Digests(file, 'qcow2', ['/two', '/three']);
      expect([...digests]).toEqual([['/two', digestOf('two')]]);
      const empty = join(dir, 'empty.qcow2');
      await createImage({ file: empty, format: 'qcow2', sizeMiB: 16 });
      await expect(ext4Digests(empty, 'qcow2', ['/two'])).rejects.toThrow('e2fsck');
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
