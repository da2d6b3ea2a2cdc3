import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripBackingStore } from '../../apps/agent/src/hypervisor/domain-xml.js';
import type { VirshHypervisor } from '../../apps/agent/src/hypervisor/virsh-hypervisor.js';
import type { ToolCall, ToolResult } from '../../apps/agent/src/process/tool-runner.js';
import { createImage } from '../testbed/images.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CountingRunner, hypervisorOf, imageTool } from './rig.js';

const images = imageTool();
const oddName = `-it's, "a" <vm> & $(x); ü:1`;
let host: TestHost;
let hypervisor: VirshHypervisor;
let vm: TestVm;

const code = (wanted: string) => expect.objectContaining({ code: wanted });
const paths = (domain: ObservedDomain | undefined, target: string) =>
  domain?.disks.find((disk) => disk.target === target)?.layers.map((layer) => layer.path);
const observe = async (one: TestVm = vm): Promise<ObservedDomain> => {
  const domain = await hypervisor.observe(one.uuid);
  if (domain === undefined) throw new Error(`${one.name} is not observed`);
  return domain;
};

beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-virsh' });
  hypervisor = hypervisorOf(host);
  vm = await TestVm.define(host, {
    name: oddName,
    disks: [
      { target: 'vda', sizeMiB: 64, content: { label: 'a', files: { known: 'first' } } },
      { target: 'vdb', sizeMiB: 64, format: 'raw', content: { label: 'b' }, fileName: `odd, 'x' "y" <z> & json:{"a"}: b.raw` },
    ],
  });
  await vm.start();
});
afterAll(async () => {
  await host?.destroy();
});

/** Merges a layer under the running VM as a command does it. */
async function commit(target: string, top: string, base: string, active: boolean): Promise<void> {
  await hypervisor.startCommit(vm.uuid, target, { top, base, active });
  if (!active) {
    await waitUntil('the layer is out of the chain', async () => !paths(await observe(), target)?.includes(top));
    return;
  }
  const ready = async () => {
    const job = await hypervisor.blockJob(vm.uuid, target);
    return job !== undefined && job.cur === job.end;
  };
  await waitUntil('the commit is ready', ready);
  await hypervisor.suspend(vm.uuid);
  await waitUntil('the commit has converged', ready);
  await hypervisor.pivot(vm.uuid, target);
  expect(paths(await observe(), target)?.[0]).toBe(base);
  await hypervisor.resume(vm.uuid);
}

describe('a healthy VM', () => {
  it('is observed with its disks, agent and process', async () => {
    await vm.waitForAgent();
    const domain = await observe();
    expect(domain).toMatchObject({
      name: oddName,
      state: 'running',
      persistent: true,
      guestAgent: true,
      vcpus: 1,
      memoryBytes: 256n << 20n,
      problems: [],
    });
    expect(domain.runId).toMatch(/^[0-9a-f-]+:\d+:\d+$/);
    expect(domain.disks).toMatchObject([
      {
        target: 'vda',
        format: 'qcow2',
        virtualSizeBytes: 64n << 20n,
        refusal: undefined,
        definedPath: join(vm.dir, 'vda.qcow2'),
      },
      {
        target: 'vdb',
        format: 'raw',
        virtualSizeBytes: 64n << 20n,
        refusal: undefined,
        definedPath: join(vm.dir, `odd, 'x' "y" <z> & json:{"a"}: b.raw`),
      },
    ]);
    for (const disk of domain.disks) expect(disk.layers).toMatchObject([{ path: disk.definedPath, format: disk.format }]);
  });

  it('answers who it is, and not for others', async () => {
    expect(await hypervisor.available()).toBe(true);
    expect(await hypervisor.versions()).toMatchObject({
      libvirt: expect.stringMatching(/^\d+\./),
      qemu: expect.stringMatching(/^\d+\./),
    });
    expect(await hypervisor.observe(randomUUID())).toBeUndefined();
    await expect(hypervisor.domainXml(randomUUID(), 'live')).rejects.toEqual(code('NOT_FOUND'));
    await expect(hypervisor.suspend(randomUUID())).rejects.toEqual(code('NOT_FOUND'));
    await expect(hypervisor.startCommit(vm.uuid, 'vda', { top: '/none', base: '/nothing', active: false })).rejects.toEqual(
      code('TOOL_FAILED'),
    );
    await expect(hypervisor.observe(oddName)).rejects.toEqual(code('INVALID_INPUT'));
  });

  it('is frozen and thawed', async () => {
    expect(await hypervisor.freezeStatus(vm.uuid, 5_000)).toBe('thawed');
    await hypervisor.freeze(vm.uuid, 10_000);
    expect(await hypervisor.freezeStatus(vm.uuid, 5_000)).toBe('frozen');
    await hypervisor.thaw(vm.uuid, 10_000);
    expect(await hypervisor.freezeStatus(vm.uuid, 5_000)).toBe('thawed');
  });

  it('keeps the guest agent timeout that its operator has set', async () => {
    await host.virsh('guest-agent-timeout', vm.uuid, '--timeout', '7');
    await hypervisor.freeze(vm.uuid, 10_000);
    await hypervisor.thaw(vm.uuid, 10_000);
    const state = await readFile(join(host.dir, 'run/qemu', `${oddName}.xml`), 'utf8');
    expect(state).toContain('<agentTimeout>7</agentTimeout>');
  });

  it('gets overlays on exactly the wanted disks, and loses them by live commits, intermediate and active', async () => {
    const base = join(vm.dir, 'vda.qcow2');
    const raw = join(vm.dir, `odd, 'x' "y" <z> & json:{"a"}: b.raw`);
    const [d1, d2, b1] = [`d1, it's "<&>.qcow2`, 'd2.qcow2', 'json:{"driver":"x"}, b1.qcow2'].map((name) =>
      join(vm.dir, name),
    ) as [string, string, string];
    await hypervisor.snapshotDisks(vm.uuid, [
      { target: 'vda', newPath: d1 },
      { target: 'vdb', newPath: b1 },
    ]);
    await vm.writeFile('/mnt/vda/one', 'in d1');
    await hypervisor.snapshotDisks(vm.uuid, [{ target: 'vda', newPath: d2 }]);
    await vm.writeFile('/mnt/vda/two', 'in d2');
    const grown = await observe();
    expect(grown.problems).toEqual([]);
    expect(paths(grown, 'vda')).toEqual([d2, d1, base]);
    expect(paths(grown, 'vdb')).toEqual([b1, raw]);
    expect(await images.isLocked(d2, 'qcow2')).toBe(true);
    expect(await images.isLocked(d1, 'qcow2')).toBe(true);
    await expect(images.commit(d1, base)).rejects.toEqual(code('IMAGE_LOCKED'));
    await expect(images.repoint(d2, undefined)).rejects.toEqual(code('IMAGE_LOCKED'));
    // A frozen layer is read with the protecting lock while the VM runs.
    await images.flatten({ sourcePath: d1, sourceFormat: 'qcow2', targetPath: join(vm.dir, 'copy'), coroutines: 1 });
    await expect(
      images.flatten({ sourcePath: d2, sourceFormat: 'qcow2', targetPath: join(vm.dir, 'copy2'), coroutines: 1 }),
    ).rejects.toEqual(code('IMAGE_LOCKED'));

    await commit('vda', d1, base, false);
    const shortened = await observe();
    expect(paths(shortened, 'vda')).toEqual([d2, base]);
    expect(shortened.problems).toEqual([]);
    await commit('vda', d2, base, true);
    await commit('vdb', b1, raw, true);
    const back = await observe();
    expect(back.problems).toEqual([]);
    expect(back.disks.map((disk) => disk.definedPath)).toEqual([base, raw]);
    expect(await images.isLocked(d2, 'qcow2')).toBe(false);
    expect(await vm.readFile('/mnt/vda/one')).toEqual(Buffer.from('in d1'));
    expect(await vm.readFile('/mnt/vda/two')).toEqual(Buffer.from('in d2'));
  });

  it('tells what other VMs use, linked names and definitions included', async () => {
    const other = await TestVm.define(host, {
      name: 'other',
      disks: [{ target: 'vda', sizeMiB: 8, template: { file: join(vm.dir, 'vda.qcow2'), format: 'qcow2' } }],
    });
    const used = await hypervisor.pathsInUseByOthers(vm.uuid);
    expect([...used]).toEqual(expect.arrayContaining([join(other.dir, 'vda.qcow2'), join(vm.dir, 'vda.qcow2')]));
    expect((await hypervisor.pathsInUseByOthers(other.uuid)).has(join(other.dir, 'vda.qcow2'))).toBe(false);
    await other.remove();
  });
});

describe('disks that cannot be backed up', () => {
  it('are refused one by one, with a way out, and the others stay usable', async () => {
    const one = await TestVm.define(host, {
      name: 'refusals',
      disks: [
        { target: 'vda', sizeMiB: 8 },
        { target: 'vdb', sizeMiB: 8 },
        { target: 'vdc', sizeMiB: 8 },
        { target: 'vdd', sizeMiB: 8 },
      ],
    });
    const outside = '/var/tmp/holdfast-test/outside-agent-virsh.qcow2';
    await host.run(['rm', '-f', outside]);
    await createImage({ file: outside, format: 'qcow2', sizeMiB: 8 });
    const missing = join(one.dir, 'vdd.qcow2');
    const xml = (await one.xml('inactive'))
      .replace(`<source file='${join(one.dir, 'vdb.qcow2')}'/>`, `<source file='${outside}'/>`)
      .replace(/<target dev='vdc'/, `<transient/><target dev='vdc'/>`)
      .replace(
        `</devices>`,
        `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'><host name='localhost'/></source><target dev='vde' bus='virtio'/></disk></devices>`,
      );
    await hypervisor.define(xml);
    await host.run(['rm', missing]);
    const domain = await observe(one);
    expect(domain.state).toBe('shut-off');
    // libvirt lists transient disks last.
    expect(domain.disks.map((disk) => [disk.target, disk.refusal?.code]).sort()).toEqual([
      ['vda', undefined],
      ['vdb', 'PATH_OUTSIDE_POOLS'],
      ['vdc', 'DISK_UNSUPPORTED'],
      ['vdd', 'BACKING_FILE_MISSING'],
      ['vde', 'DISK_UNSUPPORTED'],
    ]);
    for (const disk of domain.disks.filter((each) => each.refusal !== undefined)) {
      expect(disk.refusal?.message).toContain(disk.target);
      expect(disk.layers).toEqual([]);
    }
    await host.run(['rm', '-f', outside]);
    await one.remove();
  });
});

describe('a stopped VM', () => {
  it('gets an overlay, and its listed backing files are compared with the headers and stripped', async () => {
    const one = await TestVm.define(host, { name: 'stopped', disks: [{ target: 'vda', sizeMiB: 8 }] });
    const [base, d1, d2] = ['vda.qcow2', 'd1.qcow2', 'd2.qcow2'].map((name) => join(one.dir, name)) as [string, string, string];
    for (const path of [d1, d2]) await hypervisor.snapshotDisks(one.uuid, [{ target: 'vda', newPath: path }]);
    expect(paths(await observe(one), 'vda')).toEqual([d2, d1, base]);
    expect(await images.isLocked(d2, 'qcow2')).toBe(false);

    const listing = (await hypervisor.domainXml(one.uuid, 'persistent')).replace(
      `<source file='${d2}'/>`,
      `<source file='${d2}'/><backingStore type='file'><format type='qcow2'/><source file='${base}'/></backingStore>`,
    );
    await hypervisor.define(listing);
    expect((await observe(one)).problems).toEqual([code('DEFINITION_DRIFT')]);
    await hypervisor.define(stripBackingStore(await hypervisor.domainXml(one.uuid, 'persistent')));
    expect((await observe(one)).problems).toEqual([]);

    await images.commit(d1, base);
    await images.repoint(d2, { name: base, format: 'qcow2' });
    expect(paths(await observe(one), 'vda')).toEqual([d2, base]);
    expect(await hypervisor.definedSources(one.uuid)).toEqual(new Map([['vda', d2]]));
    await one.remove();
  });
});

describe('the inventory', () => {
  it('shows every VM as observing it alone does, and costs few calls when nothing changed', async () => {
    const extra: TestVm[] = [];
    for (let index = 0; index < 30; index += 1)
      extra.push(await TestVm.define(host, { name: `idle ${index}`, disks: [{ target: 'vda', sizeMiB: 1 }] }));
    const tools = new CountingRunner();
    const counting = hypervisorOf(host, tools);
    const first = await counting.observeAll();
    const uuids = (await host.virsh('list', '--all', '--uuid')).split('\n').filter((line) => line !== '');
    expect(first.map((domain) => domain.uuid).sort()).toEqual(uuids.sort());
    const stable = (domain: ObservedDomain | undefined) => ({
      ...domain,
      disks: domain?.disks.map((disk) => ({
        ...disk,
        layers: disk.layers.map(({ path, format, inode, virtualSizeBytes }) => ({ path, format, inode, virtualSizeBytes })),
      })),
    });
    for (const uuid of [vm.uuid, extra[0]?.uuid ?? '']) {
      expect(stable(first.find((domain) => domain.uuid === uuid))).toEqual(stable(await hypervisor.observe(uuid)));
    }
    tools.calls.length = 0;
    expect(await counting.observeAll()).toHaveLength(first.length);
    // A kept virsh tells of all of them; files and places in a call each; no header is read again.
    expect(tools.calls.filter(([tool]) => tool === 'virsh' || tool === 'qemu-img')).toEqual([]);
    expect(tools.calls.length).toBeLessThan(10);
    // A changed header is read again.
    const [changed] = extra as [TestVm];
    const path = join(changed.dir, 'vda.qcow2');
    const below = join(changed.dir, 'below.qcow2');
    await images.create(below, 1n << 20n);
    await images.repoint(path, { name: below, format: 'qcow2' });
    expect(
      paths(
        (await counting.observeAll()).find((domain) => domain.uuid === changed.uuid),
        'vda',
      ),
    ).toEqual([path, below]);
    for (const one of extra) await one.remove();
  });
});

describe('a definition that drifted', () => {
  it('is named with both paths and the way out', async () => {
    const running = join(vm.dir, 'vda.qcow2');
    const elsewhere = join(vm.dir, 'elsewhere.qcow2');
    await images.create(elsewhere, 64n << 20n);
    const kept = await hypervisor.domainXml(vm.uuid, 'persistent');
    await hypervisor.define(kept.replace(`<source file='${running}'/>`, `<source file='${elsewhere}'/>`));
    const { problems, disks } = await observe();
    expect(problems).toEqual([code('DEFINITION_DRIFT')]);
    expect(problems[0]?.message).toMatch(/vda/);
    expect(problems[0]?.message).toContain(running);
    expect(problems[0]?.message).toContain(elsewhere);
    expect(problems[0]?.message).toMatch(/virsh edit/);
    expect(disks[0]?.layers[0]?.path).toBe(running);
    await hypervisor.define(kept);
    expect((await observe()).problems).toEqual([]);
  });
});

describe('a libvirtd that is away', () => {
  it('is told from a libvirtd that refuses, and everything works when it is back', async () => {
    await host.killLibvirtd();
    expect(await hypervisor.available()).toBe(false);
    await expect(hypervisor.observe(vm.uuid)).rejects.toEqual(code('HYPERVISOR_UNAVAILABLE'));
    await expect(hypervisor.observeAll()).rejects.toEqual(code('HYPERVISOR_UNAVAILABLE'));
    await expect(hypervisor.suspend(vm.uuid)).rejects.toEqual(code('HYPERVISOR_UNAVAILABLE'));
    await host.startLibvirtd();
    await expect(hypervisor.resume(vm.uuid)).rejects.toEqual(code('TOOL_FAILED'));
    expect((await observe()).problems).toEqual([]);
  });

  it('is asked again when it could not list its VMs', async () => {
    for (const look of [
      async (real: VirshHypervisor) => (await real.observe(vm.uuid))?.uuid,
      async (real: VirshHypervisor) => (await real.observeAll())[0]?.uuid,
    ]) {
      expect(await look(hypervisorOf(host, new ListlessRunner(), [host.dir], { sessions: { ask: async () => undefined } }))).toBe(
        vm.uuid,
      );
    }
  });

  it('is not waited for when it hangs', async () => {
    await host.pauseLibvirtd();
    expect(await hypervisor.available()).toBe(false);
    await host.continueLibvirtd();
    expect(await hypervisor.available()).toBe(true);
  });
});

/** In the first process with several commands every list fails, as when libvirtd is restarted meanwhile; what follows is answered. */
class ListlessRunner extends CountingRunner {
  private failed = false;

  override run(tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult> {
    const fails = !this.failed && args.some((arg) => arg.includes('; '));
    this.failed ||= fails;
    return super.run(tool, fails ? args.map((arg) => arg.replace(/\blist --all[^;]*/g, 'domuuid none')) : args, call);
  }
}
