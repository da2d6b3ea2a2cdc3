/**
 * What others do to the VM and its host between the operations of a walk. Adding a move means adding a line. A move
 * throws only when the world is not as it must be.
 */
import type { Operation } from '@holdfast/shared/api/operations.js';
import { FAULTS } from '../crash/faults.js';
import { waitForEnd } from '../system/operations.js';
import { ApiProblem } from '../system/rest-client.js';
import { run } from '../testbed/command.js';
import type { Choosable } from './choose-step.js';
import type { WalkBench } from './walk-bench.js';

export interface Move extends Choosable {
  /** Words on what came of it, when that is worth saying. */
  run(bench: WalkBench): Promise<string | void>;
}

const MOST_EXTRA_DISKS = 4;

/** A fault while Holdfast has nothing to do. */
function idleFault(name: string): Move {
  return {
    name: `${name} dies`,
    weight: 1,
    async run({ crash }) {
      const fault = FAULTS.find((one) => one.name === name);
      if (fault === undefined) throw new Error(`there is no fault ${name}`);
      await fault.strike(crash);
      await fault.heal(crash);
    },
  };
}

export const MOVES: readonly Move[] = [
  { name: 'write', weight: 3, run: ({ crash }) => crash.runningWithNewContent() },
  {
    name: 'shut down',
    weight: 3,
    possible: ({ running }) => running,
    run: async ({ vm, crash }) => {
      await vm.shutdown();
      await crash.stack.waitForPower(vm, 'Stopped');
    },
  },
  {
    name: 'pull the plug',
    weight: 1,
    possible: ({ running }) => running,
    run: async ({ vm, crash }) => {
      await vm.destroy();
      await crash.stack.waitForPower(vm, 'Stopped');
    },
  },
  {
    name: 'attach a disk',
    weight: 2,
    possible: ({ attachedEver }) => attachedEver < MOST_EXTRA_DISKS,
    run: (bench) => bench.attachDisk(),
  },
  {
    name: 'detach a disk',
    weight: 1,
    possible: ({ extraDisks, snapshots }) => extraDisks.length > 0 && snapshots === 0,
    run: async (bench) => bench.detachDisk((await bench.state()).extraDisks[0] ?? ''),
  },
  {
    name: 'grow a disk',
    weight: 1,
    possible: ({ running }) => running,
    async run({ vm }) {
      const info = await run(['qemu-img', 'info', '-U', '--output=json', await vm.currentFile('vdb')]);
      const bytes = (JSON.parse(info) as { 'virtual-size': number })['virtual-size'] + 1024 * 1024;
      await vm.host.virsh('blockresize', vm.uuid, 'vdb', `${bytes}B`);
    },
  },
  {
    name: 'foreign snapshot',
    weight: 1,
    possible: ({ foreignLayer, snapshots }) => !foreignLayer && snapshots === 0,
    run: ({ crash }) => crash.foreignLayers.put(),
  },
  {
    name: 'foreign commit',
    weight: 2,
    possible: ({ foreignLayer, running, snapshots }) => foreignLayer && running && snapshots === 0,
    run: ({ crash }) => crash.foreignLayers.commit(),
  },
  {
    name: 'leave and join the offering',
    weight: 1,
    async run({ vm, crash }) {
      const { api } = crash.stack;
      const { offeringId } = await crash.stack.vm(vm);
      const left = await api.delete<Operation>(`/vms/${vm.uuid}/backup-offering`);
      const end = await crash.waitForRest(left.id);
      await api.put(`/vms/${vm.uuid}/backup-offering`, { offeringId });
      if (!end.succeeded) throw new Error(`the chain of a VM without an offering could not be ended: ${end.words}`);
    },
  },
  {
    name: 'two backups at once',
    weight: 1,
    async run({ crash }) {
      await crash.runningWithNewContent();
      const ids = [await crash.backups.start({}), await crash.backups.start({ isolated: true })];
      for (const id of ids) await waitForEnd(crash.stack.api, id);
      for (const id of ids) {
        const end = await crash.waitForRest(id);
        await crash.backups.conclude(id, end.succeeded);
        if (!end.succeeded) throw new Error(`an undisturbed backup failed: ${end.words}`);
      }
    },
  },
  {
    name: 'back up on the other host',
    weight: 2,
    async run(bench) {
      const { crash } = bench;
      await crash.runningWithNewContent();
      await bench.onOtherHost(async () => void (await crash.backups.take('on the other host')));
    },
  },
  {
    name: 'cancel a backup',
    weight: 1,
    async run({ crash }) {
      await crash.runningWithNewContent();
      const id = await crash.backups.start({});
      try {
        await crash.stack.api.post(`/operations/${id}/actions/cancel`);
      } catch (error) {
        // Too late is an answer, too.
        if (!(error instanceof ApiProblem) || error.code !== 'WRONG_STATE') throw error;
      }
      const end = await crash.waitForRest(id);
      await crash.backups.conclude(id, end.succeeded);
      return end.words;
    },
  },
  ...['agent', 'manager', 'libvirtd', 'qemu', 'power-loss'].map(idleFault),
];
