/**
 * libvirtd dies at the wrong moment: what QEMU does and what libvirt says are made to differ as such a death leaves them.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { systemClock } from '../../apps/agent/src/clock/clock.js';
import { GuestDuties } from '../../apps/agent/src/guest-duties/guest-duties.js';
import type { VirshHypervisor } from '../../apps/agent/src/hypervisor/virsh-hypervisor.js';
import type { ToolCall, ToolResult } from '../../apps/agent/src/process/tool-runner.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CountingRunner, hypervisorOf, imageTool, silentLog } from './rig.js';

const images = imageTool();
const code = (wanted: string) => expect.objectContaining({ code: wanted });
let host: TestHost;
let hypervisor: VirshHypervisor;
let vm: TestVm;
let files: { vda: string; vdb: string };
let overlays: { vda: string; vdb: string };
let count = 0;

beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-repair' });
  hypervisor = hypervisorOf(host);
});
afterAll(async () => {
  await host?.destroy();
});
beforeEach(async () => {
  count += 1;
  vm = await TestVm.define(host, {
    name: `it's, "a" <vm> ${count}`,
    disks: [
      { target: 'vda', sizeMiB: 64, content: { label: 'a' } },
      { target: 'vdb', sizeMiB: 64, format: 'raw', content: { label: 'b' }, fileName: `odd, 'x' json:{"a"}: b.raw` },
    ],
  });
  files = { vda: join(vm.dir, 'vda.qcow2'), vdb: join(vm.dir, `odd, 'x' json:{"a"}: b.raw`) };
  overlays = { vda: join(vm.dir, `overlay, "a".qcow2`), vdb: join(vm.dir, 'overlay b.qcow2') };
  await vm.start();
  await vm.writeFile('/mnt/vda/before', 'written before');
});
afterEach(async () => {
  if ((await host.libvirtdPid()) === undefined) await host.startLibvirtd();
  await host.virsh('list', '--all');
  const pid = await vm.qemuPid();
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await waitUntil('QEMU has ended', async () => (await vm.qemuPid()) === undefined);
  await vm.remove();
});

/** What QEMU does for a snapshot, without libvirt noting it; node names as libvirt would choose them next. */
async function snapshotBehindLibvirt(): Promise<void> {
  const nodes = await vm.qmp<{ 'node-name': string; file: string; drv: string }[]>('query-named-block-nodes', { flat: true });
  const actions = [];
  let number = 3;
  for (const target of ['vda', 'vdb'] as const) {
    const [file, overlay] = [files[target], overlays[target]];
    await images.create(overlay, 64n << 20n, { name: file, format: target === 'vda' ? 'qcow2' : 'raw' });
    await host.run(['chown', 'libvirt-qemu', overlay]);
    const format = `libvirt-${number}-format`;
    const storage = `libvirt-${number}-storage`;
    number += 1;
    await vm.qmp('blockdev-add', {
      driver: 'file',
      filename: overlay,
      'node-name': storage,
      'auto-read-only': true,
      discard: 'unmap',
    });
    await vm.qmp('blockdev-add', { driver: 'qcow2', file: storage, 'node-name': format, backing: null, discard: 'unmap' });
    const node = nodes.find((one) => one.file === file && one.drv !== 'file')?.['node-name'];
    actions.push({ type: 'blockdev-snapshot', data: { node, overlay: format } });
  }
  await vm.qmp('transaction', { actions });
  await vm.writeFile('/mnt/vda/after', 'written after');
  await vm.writeFile('/mnt/vdb/after', 'written after');
}

async function expectMended(): Promise<void> {
  const domain = await hypervisor.observe(vm.uuid);
  expect(domain).toMatchObject({ state: 'running', problems: [] });
  expect(domain?.disks.map((disk) => disk.layers.map((layer) => layer.path))).toEqual([[files.vda], [files.vdb]]);
  expect(domain?.disks.map((disk) => disk.definedPath)).toEqual([files.vda, files.vdb]);
  for (const overlay of Object.values(overlays)) expect(await images.isLocked(overlay, 'qcow2')).toBe(false);
  await vm.writeFile('/mnt/vda/later', 'written later');
  // libvirt's own next snapshot and commit work: its node names are free again.
  const d = join(vm.dir, 'next.qcow2');
  await hypervisor.snapshotDisks(vm.uuid, [{ target: 'vda', newPath: d }]);
  expect((await hypervisor.observe(vm.uuid))?.problems).toEqual([]);
  await vm.destroy();
  await vm.start();
  for (const [path, content] of [
    ['vda/before', 'before'],
    ['vda/after', 'after'],
    ['vdb/after', 'after'],
    ['vda/later', 'later'],
  ]) {
    expect((await vm.readFile(`/mnt/${path}`)).toString()).toBe(`written ${content}`);
  }
}

describe('QEMU writes to overlays that libvirt does not know', () => {
  it('is seen, with both paths named for each disk', async () => {
    await snapshotBehindLibvirt();
    const domain = await hypervisor.observe(vm.uuid);
    expect(domain?.problems).toEqual([code('HYPERVISOR_OUT_OF_STEP'), code('HYPERVISOR_OUT_OF_STEP')]);
    for (const [index, target] of (['vda', 'vdb'] as const).entries()) {
      expect(domain?.problems[index]?.message).toContain(files[target]);
      expect(domain?.problems[index]?.message).toContain(overlays[target]);
    }
    expect(domain?.disks[0]?.layers.map((layer) => layer.path)).toEqual([overlays.vda, files.vda]);
    expect(domain?.disks[0]?.definedPath).toBe(files.vda);
    const listed = (await hypervisor.observeAll()).find((one) => one.uuid === vm.uuid);
    expect(listed?.problems).toHaveLength(2);
  });

  it('is mended under the running guest, nothing written is lost, and it survives a power-off', async () => {
    await snapshotBehindLibvirt();
    await host.killLibvirtd();
    await host.startLibvirtd();
    expect(await hypervisor.bringQemuBackInStep(vm.uuid)).toEqual([overlays.vda, overlays.vdb]);
    await expectMended();
  });

  it('does nothing to a VM that is in step', async () => {
    const before = await vm.xml('inactive');
    expect(await hypervisor.bringQemuBackInStep(vm.uuid)).toEqual([]);
    expect(await vm.xml('inactive')).toBe(before);
  });

  it('is mended by a repeat after a death at any call of the repair', async () => {
    await snapshotBehindLibvirt();
    // Every life makes one change and dies before the next; the one that finds nothing more to do comes through.
    const changes: string[] = [];
    for (;;) {
      const mortal = new MortalRunner(1);
      const died = await isFatal(hypervisorOf(host, mortal));
      changes.push(...mortal.changes);
      if (!died) break;
      await expectRightStart();
      expect(changes.length).toBeLessThan(40);
    }
    expect(changes).toEqual([
      'define',
      'block-commit',
      'block-commit',
      'stop',
      'job-complete',
      'job-complete',
      'blockdev-del',
      'blockdev-del',
      'blockdev-del',
      'blockdev-del',
      'define',
      'cont',
    ]);
    await expectMended();
  });

  it('is resumed only with the right definition, after a death at any call while the guest stood still', async () => {
    const dir = join(vm.dir, 'duties');
    // From the call that stops the guest to the one before it goes on.
    for (let changes = 4; changes < 12; changes += 1) {
      await snapshotBehindLibvirt();
      const ports = { dir, hypervisor, clock: systemClock, log: silentLog };
      await new GuestDuties(ports).owe(vm.uuid, 'resume');
      expect(await isFatal(hypervisorOf(host, new MortalRunner(changes)))).toBe(true);
      expect((await hypervisor.observe(vm.uuid))?.state).toBe('paused');
      const duties = new GuestDuties(ports);
      await duties.relieveAll();
      expect(await duties.fulfil(vm.uuid, 'resume', 60_000)).toBe('relieved');
      expect(await expectRightStart()).toBe('running');
      // What a command does that meets it then.
      await hypervisor.bringQemuBackInStep(vm.uuid);
      expect((await hypervisor.observe(vm.uuid))?.problems).toEqual([]);
      for (const overlay of Object.values(overlays)) await host.run(['rm', overlay]);
    }
  });

  it('is mended once when two want it at the same time', async () => {
    await snapshotBehindLibvirt();
    const both = await Promise.all([hypervisor.bringQemuBackInStep(vm.uuid), hypervisor.bringQemuBackInStep(vm.uuid)]);
    expect(both).toEqual([[overlays.vda, overlays.vdb], []]);
    await expectMended();
  });
});

/** Brings QEMU back in step until that life dies; false when it lives. */
async function isFatal(mortal: VirshHypervisor): Promise<boolean> {
  return mortal.bringQemuBackInStep(vm.uuid).then(
    () => false,
    (error: Error) => {
      if (error.message !== 'died') throw error;
      return true;
    },
  );
}

/** As long as the guest may write, its definition names what QEMU uses. Gives its state. */
async function expectRightStart(): Promise<string | undefined> {
  const domain = await hypervisor.observe(vm.uuid);
  if (domain?.state === 'running') {
    expect(domain.disks.map((disk) => disk.definedPath)).toEqual(domain.disks.map((disk) => disk.layers[0]?.path));
  }
  return domain?.state;
}

/** Lets so many calls through that change something, and dies (fails every call) before the next. */
class MortalRunner extends CountingRunner {
  readonly changes: string[] = [];
  private dead = false;

  constructor(private readonly allowed: number) {
    super();
  }

  override async run(tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult> {
    const qmp = /"execute":"(block-commit|stop|cont|job-complete|blockdev-del)"/.exec(args.join(' '))?.[1];
    const change = args.includes('define') ? 'define' : qmp;
    if (change !== undefined && this.changes.length === this.allowed) this.dead = true;
    if (this.dead) throw new Error('died');
    if (change !== undefined) this.changes.push(change);
    return super.run(tool, args, call);
  }
}

describe('a QEMU that libvirt has lost', () => {
  /** libvirtd comes back without the domain's state file, as after a state file that it could not read. */
  async function lose(): Promise<void> {
    await host.killLibvirtd();
    const name = vm.name;
    const found = await host.run(['find', '/run/libvirt/qemu', '-maxdepth', '1', '-name', '*.xml', '-print0']);
    const state = found.stdout.split('\0').find((path) => path.endsWith(`/${name}.xml`));
    if (state === undefined) throw new Error(`no state file among ${found.stdout}`);
    await host.run(['rm', state]);
    await host.startLibvirtd();
  }

  it('is found although libvirt says shut off, and its images are seen as in use', async () => {
    await lose();
    expect(await vm.domstate()).toBe('shut off');
    const domain = await hypervisor.observe(vm.uuid);
    expect(domain?.problems).toEqual([code('ORPHANED_QEMU')]);
    expect(domain?.problems[0]?.message).toContain(vm.name);
    expect(await images.isLocked(files.vda, 'qcow2')).toBe(true);
    expect(await images.isLocked(files.vdb, 'raw')).toBe(true);
    expect((await hypervisor.observeAll()).find((one) => one.uuid === vm.uuid)?.problems).toEqual([code('ORPHANED_QEMU')]);
  });

  it('gets a definition that names its files, and its guest goes on', async () => {
    const d1 = join(vm.dir, `d1, "x".qcow2`);
    await hypervisor.snapshotDisks(vm.uuid, [{ target: 'vda', newPath: d1 }]);
    await vm.writeFile('/mnt/vda/after', 'written after');
    // Lost while the guest was suspended for a pivot, with a definition that names the layer below.
    await hypervisor.suspend(vm.uuid);
    const older = (await hypervisor.domainXml(vm.uuid, 'persistent')).replace(
      /<source file='[^']*d1[^>]*>\s*<backingStore[\s\S]*?<\/backingStore>/,
      `<source file='${files.vda}'/>`,
    );
    await hypervisor.define(older);
    await lose();
    expect((await hypervisor.definedSources(vm.uuid)).get('vda')).toBe(files.vda);
    await hypervisor.tendOrphan(vm.uuid);
    expect(Object.fromEntries(await hypervisor.definedSources(vm.uuid))).toEqual({ vda: d1, vdb: files.vdb });
    expect((await hypervisor.observe(vm.uuid))?.problems).toEqual([code('ORPHANED_QEMU')]);
    await expect(host.virsh('start', vm.uuid)).rejects.toThrow();
    // The guest runs: it does what it is told and ends by itself.
    await vm.killQemu();
    await waitUntil('the orphan is gone', async () => (await hypervisor.observe(vm.uuid))?.problems.length === 0);
    await vm.start();
    expect((await vm.readFile('/mnt/vda/after')).toString()).toBe('written after');
  });

  it('is found when libvirt does not know the VM at all', async () => {
    await lose();
    await host.virsh('undefine', vm.uuid);
    const domain = await hypervisor.observe(vm.uuid);
    expect(domain).toMatchObject({ name: vm.name, persistent: false, problems: [code('ORPHANED_QEMU')] });
    expect((await hypervisor.observeAll()).map((one) => one.uuid)).toContain(vm.uuid);
    await hypervisor.tendOrphan(vm.uuid);
  });

  it('is nothing to tend when libvirt manages it', async () => {
    await hypervisor.suspend(vm.uuid);
    await hypervisor.tendOrphan(vm.uuid);
    expect(await vm.domstate()).toBe('paused');
  });
});
