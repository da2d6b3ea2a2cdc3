/**
 * What can go wrong while an operation stands at a breakpoint. One line per fault: how it strikes, and how the world is
 * healed afterwards. Adding a fault means adding a line.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../testbed/wait-until.js';
import type { CrashBench } from './crash-bench.js';

export interface Fault {
  readonly name: string;
  /** While the operation waits at the breakpoint. */
  strike(bench: CrashBench): Promise<void>;
  /** After the breakpoint was released: everything that the operator or the machine would bring back. */
  heal(bench: CrashBench): Promise<void>;
}

const nothing = async (): Promise<void> => {};

/** How long a storage fault lasts after the release. */
const STORAGE_FAULT_MS = 1_500;

/** How long a VM stays saved. */
const SAVED_MS = 1_500;
/** Kept by the guest in memory alone. */
const MEMORY_MARK = 'awake-since-before';

/** An owner tries again for so long. */
const START_MS = 60_000;

/** A tool is killed as soon as one runs: at the breakpoint, or the next one that the operation starts. */
function killTool(tool: string): Fault {
  return {
    name: tool,
    strike: nothing,
    async heal(bench) {
      bench.notes.push((await bench.strikes.killNext(tool)) ? `${tool} killed` : `no ${tool} ran any more`);
    },
  };
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'agent',
    strike: (bench) => bench.stack.killAgent(),
    heal: (bench) => bench.stack.startAgent(),
  },
  {
    // The agent's process that looks at files: for some seconds every question is one for a process of its own.
    name: 'looks',
    strike: (bench) => bench.strikes.killLooking(),
    heal: nothing,
  },
  {
    name: 'manager',
    strike: (bench) => bench.stack.killManager(),
    heal: (bench) => bench.stack.startManager(),
  },
  {
    name: 'libvirtd',
    strike: (bench) => bench.host.killLibvirtd(),
    async heal(bench) {
      await sleep(300);
      await bench.host.startLibvirtd();
    },
  },
  {
    name: 'qemu',
    async strike(bench) {
      if (await bench.vm.qemuPid()) await bench.vm.killQemu();
      else bench.notes.push('no QEMU ran');
    },
    // libvirt may call it running for a moment longer.
    heal: async ({ vm }) => {
      await waitUntil('libvirt knows that QEMU is gone', async () => (await vm.domstate()) === 'shut off');
    },
  },
  {
    // Not a failure: an owner may switch a VM on or off whenever they like.
    name: 'power-button',
    async strike(bench) {
      const on = (await bench.vm.domstate()) === 'running';
      try {
        await (on ? bench.vm.destroy() : bench.vm.start());
        bench.notes.push(on ? 'switched off' : 'switched on');
      } catch (error) {
        // A start between two states of a definition may be refused; the owner tries again later.
        if (on) throw error;
        bench.notes.push('the start was refused');
      }
    },
    heal: nothing,
  },
  {
    // What libvirt-guests does with every VM when its host is shut down: memory and state to a file, which names the disks.
    name: 'managed-save',
    async strike(bench) {
      if ((await bench.vm.domstate()) !== 'running') {
        bench.notes.push('it was off');
        return;
      }
      await bench.vm.mustShell(`echo ${MEMORY_MARK} > /run/mark`);
      await bench.host.virsh('managedsave', bench.vm.uuid);
      bench.notes.push('saved');
    },
    async heal(bench) {
      if (!bench.notes.includes('saved')) return;
      await sleep(SAVED_MS);
      // Saved between the freeze and the snapshot, its start is refused until what was put on since is taken off again.
      await waitUntil('the saved VM starts', async () => (await bench.host.virsh('start', bench.vm.uuid), true), {
        timeoutMs: START_MS,
        intervalMs: 1_000,
      });
      // Asked through the control shell: it answers whether file systems are frozen or not.
      const mark = await bench.vm.mustShell('cat /run/mark', 60_000);
      if (mark.trim() !== MEMORY_MARK) throw new Error('the saved VM booted anew instead of waking from its memory');
    },
  },
  killTool('qemu-img'),
  killTool('virsh'),
  {
    name: 'power-loss',
    // Everything on the host dies at once; it boots again with what is in its state.
    async strike(bench) {
      await bench.stack.powerLoss();
    },
    heal: (bench) => bench.stack.bootHost(),
  },
  {
    name: 'storage-full',
    strike: (bench) => bench.storage.fill(),
    async heal(bench) {
      await sleep(STORAGE_FAULT_MS);
      await bench.storage.unfill();
    },
  },
  {
    name: 'storage-read-only',
    async strike(bench) {
      await bench.strikes.remountReadOnly();
    },
    async heal(bench) {
      await sleep(STORAGE_FAULT_MS);
      await bench.storage.remountReadWrite();
    },
  },
  {
    name: 'storage-hang',
    strike: (bench) => bench.storage.hang(),
    async heal(bench) {
      await sleep(STORAGE_FAULT_MS);
      await bench.strikes.demandLivingGuest();
      await bench.storage.resume();
    },
  },
  {
    name: 'storage-gone',
    strike: (bench) => bench.storage.vanish(),
    async heal(bench) {
      await sleep(STORAGE_FAULT_MS);
      await bench.strikes.demandLivingGuest();
      await bench.storage.reappear();
    },
  },
];
