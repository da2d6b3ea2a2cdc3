/**
 * A storage that the agent mounts itself, on a real VM: mounted for as long as an operation holds it, also over the death of the
 * agent and of the host, and no longer. One VM for all; each test goes on where the last ended.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { imagesEqual } from '../testbed/images.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import type { Breakpoint } from './breakpoints.js';
import { demandInvariants } from './invariants.js';
import { waitForSuccess, whyOver } from './operations.js';
import { References, type DiskCopies } from './references.js';
import { SystemStack, type StackStorage } from './system-stack.js';

const TEST_MS = 900_000;

describe('a storage that is mounted', () => {
  let stack: SystemStack;
  let vm: TestVm;
  let storage: StackStorage;
  let references: References;
  let full: { backup: Backup; copies: DiskCopies };

  beforeAll(async () => {
    stack = await SystemStack.start({ name: 'mounted' });
    storage = await stack.createStorage('disk', { mounted: true });
    vm = await TestVm.define(stack.first.host, {
      name: 'mounted',
      disks: [
        { target: 'vda', sizeMiB: 48, content: { label: 'a', files: {} } },
        { target: 'vdb', sizeMiB: 16, format: 'raw', content: { label: 'b', files: {} } },
      ],
    });
    await stack.waitForVm(vm);
    await stack.assign(vm, await stack.createOffering('gold'));
    references = new References(join(stack.first.host.dir, 'references'));
    await vm.start();
    await stack.waitForPower(vm, 'Running');
  }, TEST_MS);
  afterAll(async () => {
    await stack.destroy();
  }, TEST_MS);

  const look = (): Promise<void> => demandInvariants({ stack, vms: [vm], storages: [storage], references });
  const write = (file: string): Promise<void> => vm.fillRandom(`/mnt/vda/${file}`, 2, file);

  const mountRoot = (): string => join(stack.first.agent.dir, 'mounts');

  /** What is mounted on the host where the agent mounts storages: mount point → options. */
  async function mountTable(): Promise<Map<string, string>> {
    const { stdout } = await stack.first.host.run(['cat', '/proc/self/mounts']);
    const mounted = stdout.split('\n').map((line) => line.split(' '));
    return new Map(
      mounted.flatMap(([, point = '', , options = '']) => (point.startsWith(`${mountRoot()}/`) ? [[point, options]] : [])),
    );
  }
  const mounts = async (): Promise<string[]> => [...(await mountTable()).keys()];

  /** An option that a mount has of us, and one that was made anew has not. */
  const MARK = 'noatime';
  async function markMount(): Promise<void> {
    const [point = ''] = await mounts();
    await stack.first.host.run(['mount', '-o', `remount,bind,nosuid,nodev,noexec,${MARK}`, point]);
    expect(await isMarked()).toBe(true);
  }
  const isMarked = async (): Promise<boolean> =>
    [...(await mountTable()).values()].some((options) => options.split(',').includes(MARK));

  /** Operations that hold the storage, by the agent's own durable word. */
  async function holders(): Promise<string[]> {
    const dir = join(stack.first.agent.stateDir, 'leases');
    const files = await readdir(dir);
    const leases = await Promise.all(files.map(async (file) => JSON.parse(await readFile(join(dir, file), 'utf8')) as Lease));
    return leases.flatMap(({ operations }) => operations);
  }

  /** At rest nothing is mounted and nobody is said to hold anything. */
  async function demandReleased(): Promise<void> {
    await waitUntil('the storage is not mounted any more', async () => {
      const [left, held] = [await mounts(), await holders()];
      if (left.length + held.length > 0) throw new Error(`mounted: ${left.join()}; held by: ${held.join()}`);
      return true;
    });
    // The mount point goes with the mount.
    expect(await readdir(mountRoot())).toEqual([]);
  }

  /** Begins an operation that stops before a step, with the storage mounted and held by it alone. */
  async function standing(at: Breakpoint, begin: () => Promise<Operation>): Promise<Operation> {
    await stack.first.agent.breakpoints.set(at);
    const started = await begin();
    await stack.first.agent.breakpoints.reached(at, () => whyOver(stack.api, started.id));
    await demandHeldBy(started);
    return started;
  }

  async function demandHeldBy({ id }: Operation): Promise<void> {
    expect(await mounts()).toEqual([join(mountRoot(), storage.storage.id)]);
    expect(await holders()).toEqual([id]);
  }

  it(
    'is mounted for a full backup and released',
    async () => {
      // It was mounted to be given its identity.
      await demandReleased();
      await write('one');
      const copies = await references.copy(vm);
      full = { backup: await stack.backup(vm), copies };
      references.bind(full.backup, copies);
      expect(full.backup).toMatchObject({ type: 'FULL', state: 'BackedUp', storageId: storage.storage.id });
      await demandReleased();
      await look();
    },
    TEST_MS,
  );

  it(
    'stays mounted when the agent is killed in the middle of an incremental copy, and the backup goes on',
    async () => {
      await write('two');
      const copies = await references.copy(vm);
      const at: Breakpoint = { step: 'copy', subject: await stack.volumeKey(vm, 'vda'), phase: 'before' };
      const started = await standing(at, () => stack.startBackup(vm));
      await stack.killAgent();
      await demandHeldBy(started);
      await markMount();
      // The next life comes to the same step again, with its leases recovered.
      const { breakpoints } = stack.first.agent;
      await breakpoints.release(at);
      await breakpoints.set(at);
      await stack.startAgent();
      await breakpoints.reached(at, () => whyOver(stack.api, started.id));
      await demandHeldBy(started);
      expect(await isMarked()).toBe(true);
      await breakpoints.release(at);
      const { backupId } = await waitForSuccess(stack.api, started.id);
      const backup = await stack.api.get<Backup>(`/backups/${backupId}`);
      references.bind(backup, copies);
      expect(backup).toMatchObject({ type: 'INCREMENTAL', state: 'BackedUp', parentId: full.backup.id });
      await demandReleased();
      await look();
    },
    TEST_MS,
  );

  it(
    'is mounted again by itself for a restore whose host lost its power, and released',
    async () => {
      await write('three');
      await vm.shutdown();
      await stack.waitForPower(vm, 'Stopped');
      const at: Breakpoint = { step: 'restore', subject: await stack.volumeKey(vm, 'vda'), phase: 'before' };
      const started = await standing(at, () => stack.startRestore(full.backup));
      await stack.powerLoss();
      await stack.first.agent.breakpoints.release(at);
      await stack.bootHost();
      await waitForSuccess(stack.api, started.id);
      for (const [target, copy] of full.copies) {
        expect([target, await imagesEqual(await vm.currentFile(target), 'qcow2', copy, 'raw')]).toEqual([target, true]);
      }
      await demandReleased();
      await look();
      await vm.start();
      expect((await vm.shell('ls /mnt/vda/one')).exitCode).toBe(0);
      expect((await vm.shell('ls /mnt/vda/two')).exitCode).not.toBe(0);
    },
    TEST_MS,
  );

  it(
    'leaves no mount when its last backup is gone',
    async () => {
      await stack.cli.run('backup', 'delete', full.backup.id, '--forced', '--wait');
      await demandReleased();
      expect(await readdir(join(storage.media.path, 'backups'))).toEqual([]);
      await look();
    },
    TEST_MS,
  );
});

interface Lease {
  readonly operations: readonly string[];
}
