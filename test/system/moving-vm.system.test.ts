/**
 * VMs that move and change under Holdfast's hands, on two hosts with one primary storage: migrated in the middle of a backup,
 * started elsewhere after their host died, resized, renamed, made anew. One VM for all; each test goes on where the last ended.
 */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { imagesEqual, keepFile } from '../testbed/images.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import type { Breakpoint } from './breakpoints.js';
import { demandInvariants } from './invariants.js';
import { waitForEnd, whyOver } from './operations.js';
import { References } from './references.js';
import { SystemStack, type StackHost, type StackStorage } from './system-stack.js';

const TEST_MS = 900_000;

describe('a VM that moves', () => {
  let stack: SystemStack;
  let vm: TestVm;
  let storage: StackStorage;
  let references: References;
  const keptFiles = new Set<string>();

  beforeAll(async () => {
    stack = await SystemStack.start({ name: 'moving', hosts: 2 });
    storage = await stack.createStorage('store');
    vm = await TestVm.define(stack.first.host, {
      name: 'moving "vm"',
      disks: [
        { target: 'vda', sizeMiB: 48, content: { label: 'a', files: {} } },
        { target: 'vdb', sizeMiB: 32, format: 'raw', content: { label: 'b', files: {} } },
      ],
    });
    await stack.waitForVm(vm);
    await stack.assign(vm, await stack.createOffering('three', 3));
    references = new References(join(stack.first.host.dir, 'references'));
    await vm.start();
    await stack.waitForPower(vm, 'Running');
  }, TEST_MS);
  afterAll(async () => {
    await stack.destroy();
  }, TEST_MS);

  const here = (): StackHost => stack.hosts.find(({ host }) => host === vm.host) ?? stack.first;
  const there = (): StackHost => stack.hosts.find(({ host }) => host !== vm.host) ?? stack.first;
  const atRest = (): Promise<void> =>
    waitUntil('the VM is at rest', async () => {
      const { protectionState, busyWith } = await stack.vm(vm);
      return protectionState === 'Ok' && busyWith === undefined;
    }).then(() => undefined);
  const look = (): Promise<void> => demandInvariants({ stack, vms: [vm], storages: [storage], references, keptFiles });
  const backup = async (): Promise<Backup> => {
    const copies = await references.copy(vm);
    const taken = await stack.backup(vm);
    references.bind(taken, copies);
    await atRest();
    return taken;
  };
  const write = (file: string): Promise<void> => vm.fillRandom(`/mnt/vda/${file}`, 1, file);

  /** Starts a backup, and does something while its agent stands at a step. Returns the operation as it ended. */
  async function meanwhile(
    step: string,
    target: string,
    work: () => Promise<void>,
    wish: Parameters<SystemStack['startBackup']>[1] = {},
  ): Promise<Operation> {
    const { agent } = here();
    const subject = target === '' ? '' : await stack.volumeKey(vm, target);
    const at: Breakpoint = { step, subject, phase: 'after' };
    const copies = await references.copy(vm);
    await agent.breakpoints.set(at);
    const started = await stack.startBackup(vm, wish);
    try {
      await agent.breakpoints.reached(at, () => whyOver(stack.api, started.id));
      await work();
    } catch (error) {
      throw new Error(`${String(error)}\n${await stack.logs(60)}`, { cause: error });
    } finally {
      // Whatever happened: the next test's operation must not stop there.
      await agent.breakpoints.release(at);
    }
    const ended = await waitForEnd(stack.api, started.id);
    if (ended.state === 'Succeeded') references.bind({ id: ended.backupId as Backup['id'] }, copies);
    await atRest();
    return ended;
  }

  it(
    'is migrated in the middle of a backup: the backup finishes, its merges are done where the VM is',
    async () => {
      await write('1');
      expect(await backup()).toMatchObject({ type: 'FULL' });
      await write('2');
      const ended = await meanwhile('copy', 'vda', async () => {
        vm = await stack.migrate(vm, there(), { undefineSource: true });
      });
      expect(ended).toMatchObject({ state: 'Succeeded' });
      await look();
      expect(await stack.api.get<Backup>(`/backups/${ended.backupId}`)).toMatchObject({ type: 'INCREMENTAL', state: 'BackedUp' });
    },
    TEST_MS,
  );

  it(
    'is migrated while it is frozen: the backup fails, and the guest is thawed where it is',
    async () => {
      const ended = await meanwhile(
        'freeze',
        '',
        async () => {
          expect(await vm.fsfreezeStatus()).toBe('frozen');
          vm = await stack.migrate(vm, there(), { undefineSource: true });
          expect(await vm.fsfreezeStatus()).toBe('frozen');
        },
        { quiesce: 'require' },
      );
      expect(ended).toMatchObject({ state: 'Failed' });
      await waitUntil('the guest is thawed', async () => (await vm.fsfreezeStatus()) === 'thawed');
      await look();
    },
    TEST_MS,
  );

  it(
    'is migrated and stopped while its last backup is published: the definition left behind is not worked on',
    async () => {
      await write('3');
      const ended = await meanwhile('publish-manifest', '', async () => {
        vm = await stack.migrate(vm, there());
        await vm.shutdown();
        await stack.waitForPower(vm, 'Stopped');
      });
      expect(ended).toMatchObject({ state: 'Succeeded' });
      expect(await stack.api.get<Backup>(`/backups/${ended.backupId}`)).toMatchObject({ endOfChain: true });
      await look();
      await vm.start();
      await vm.digests('/mnt/vda/1', '/mnt/vda/2', '/mnt/vda/3');
    },
    TEST_MS,
  );

  it(
    'whose host died in the middle of a backup and that was started, then stopped elsewhere: the host that comes back changes nothing',
    async () => {
      await stack.waitForPower(vm, 'Running');
      await write('4');
      expect(await backup()).toMatchObject({ type: 'FULL' });
      await write('5');
      const [dead, heir] = [here(), there()];
      const at: Breakpoint = { step: 'copy', subject: await stack.volumeKey(vm, 'vdb'), phase: 'after' };
      await dead.agent.breakpoints.set(at);
      const started = await stack.startBackup(vm);
      await dead.agent.breakpoints.reached(at, () => whyOver(stack.api, started.id));
      const definition = join(dead.host.dir, 'saved.xml');
      await writeFile(definition, await vm.xml('inactive'));
      await stack.powerLoss(dead);
      await dead.agent.breakpoints.release(at);

      vm = vm.onHost(heir.host);
      await vm.host.virsh('define', definition);
      await vm.start();
      expect(await waitForEnd(stack.api, started.id)).toMatchObject({ state: 'Failed', error: { code: 'INTERRUPTED' } });
      await atRest();
      await write('6');
      await vm.shutdown();
      await stack.waitForPower(vm, 'Stopped');
      const copies = await references.copy(vm);

      await stack.bootHost(dead);
      await stack.waitForHost(dead.host.name);
      await waitUntil('the agent that came back has ended its work', async () => {
        const left = await readdir(join(dead.agent.stateDir, 'operations'));
        return left.length === 0;
      });
      await atRest();
      expect(await stack.vm(vm)).toMatchObject({ hostId: heir.id, powerState: 'Stopped' });
      for (const [target, copy] of await references.copy(vm)) {
        expect([target, await imagesEqual(copy, 'raw', copies.get(target) ?? '', 'raw')]).toEqual([target, true]);
      }
      await look();
      await vm.start();
      await vm.digests('/mnt/vda/4', '/mnt/vda/5', '/mnt/vda/6');
      await stack.waitForPower(vm, 'Running');
      expect(await backup()).toMatchObject({ type: 'INCREMENTAL' });
      await look();
    },
    TEST_MS,
  );

  it(
    'is resized and renamed: the next backup is incremental and right',
    async () => {
      for (const [target, mib] of [
        ['vda', 56],
        ['vdb', 40],
      ] as const) {
        await vm.host.virsh('blockresize', vm.uuid, target, `${mib}M`);
        await vm.mustShell(`dd if=/dev/urandom of=/dev/${target} bs=1M seek=${mib - 2} count=1 conv=fsync 2>/dev/null`);
      }
      await vm.shutdown();
      await stack.waitForPower(vm, 'Stopped');
      await vm.host.virsh('domrename', vm.uuid, 'renamed "vm"');
      await waitUntil('the manager knows the new name', async () => (await stack.vm(vm)).name === 'renamed "vm"');
      const taken = await backup();
      expect(taken).toMatchObject({ type: 'INCREMENTAL', vmName: 'renamed "vm"' });
      expect(taken.volumes.map((volume) => [volume.copiedInFull, volume.virtualSizeBytes])).toEqual([
        [false, String(56 << 20)],
        [false, String(40 << 20)],
      ]);
      await look();
    },
    TEST_MS,
  );

  it(
    'is undefined and made anew with its UUID and other disks: a full backup, nothing of the old VM is touched',
    async () => {
      const old = new Map<string, string>();
      if ((await vm.domstate()) === 'running') await vm.shutdown();
      await stack.waitForPower(vm, 'Stopped');
      expect(await backup()).toMatchObject({ type: 'FULL' });
      for (const target of ['vda', 'vdb']) {
        for (const { filename } of await vm.chain(target)) {
          const kept = join(stack.first.host.dir, `kept-${old.size}`);
          await keepFile(filename, kept);
          old.set(filename, kept);
          keptFiles.add(filename);
        }
      }
      // What migrations and deaths have left on the other host would be the VM, when this host has it no more.
      await vm
        .onHost(there().host)
        .undefine()
        .catch(() => undefined);
      await vm.undefine();
      await waitUntil('the VM is gone', async () => (await stack.vm(vm)).powerState === 'Gone');
      vm = await TestVm.define(vm.host, {
        name: 'made anew',
        uuid: vm.uuid,
        dir: join(here().agent.primaryPool, 'anew'),
        disks: [
          { target: 'vda', sizeMiB: 56, content: { label: 'new', files: {} } },
          { target: 'vdb', sizeMiB: 16 },
        ],
      });
      await waitUntil('the manager sees the new disks', async () => {
        const paths = (await stack.volumes(vm)).filter(({ attached }) => attached).map(({ layers }) => layers[0]?.path);
        return paths.length === 2 && paths.every((path) => path?.includes('/anew/'));
      });
      const taken = await backup();
      expect(taken).toMatchObject({ type: 'FULL' });
      expect(taken.fullReason).toMatch(/no volume has a usable delta/);
      await look();
      for (const [file, kept] of old) {
        const same = await vm.host.run(['cmp', file, kept]);
        expect([file, same.exitCode]).toEqual([file, 0]);
      }
    },
    TEST_MS,
  );
});
