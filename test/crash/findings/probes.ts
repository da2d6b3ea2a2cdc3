/** What findings do to the system from outside, beside the ordinary faults. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Vm } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { ApiProblem } from '../../system/rest-client.js';
import { waitForEnd } from '../../system/operations.js';
import { waitUntil } from '../../testbed/wait-until.js';
import type { CrashBench } from '../crash-bench.js';

/**
 * Strikes `delayMs` after a process with these two words in its command line has appeared. Such a process lives some
 * milliseconds, so the process table is read as fast as it can be, only what is new in it.
 */
export async function whenCalled(tool: string, argument: string, delayMs: number, strike: () => Promise<void>): Promise<void> {
  const until = Date.now() + 120_000;
  const known = new Set(readdirSync('/proc'));
  // A new process first shows what started it: it is read again and again while it is young.
  const young = new Map<string, number>();
  for (;;) {
    for (const pid of readdirSync('/proc')) {
      if (known.has(pid)) continue;
      known.add(pid);
      if (/^\d+$/.test(pid)) young.set(pid, Date.now());
    }
    for (const [pid, since] of young) {
      const words = commandLine(pid);
      if (words.some((word) => word.split('/').at(-1) === tool) && words.includes(argument)) {
        await sleep(delayMs);
        await strike();
        return;
      }
      if (Date.now() - since > 200) young.delete(pid);
    }
    if (Date.now() > until) throw new Error(`gave up waiting until ${tool} ${argument} is called`);
    await new Promise(setImmediate);
  }
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** Where the backup's delta of a disk is meant to be: beside the active layer, named after the backup. */
export async function intendedDelta(bench: CrashBench, target: string): Promise<string> {
  const backups = await bench.stack.api.list<Backup>('/backups', { vmId: bench.vm.uuid });
  const backup = backups.find(({ state }) => state === 'BackingUp');
  const operation = backup && (await bench.strikes.agentRequest(backup.operationId ?? ''));
  const volume = (operation?.volumes ?? []).find((one) => one.target === target);
  if (volume === undefined) throw new Error('no backup of that disk is being taken');
  return volume.newDeltaPath;
}

/** QEMU's node name of the active layer of a disk. */
export async function activeNode(bench: CrashBench, target: string): Promise<string> {
  const active = await bench.vm.currentFile(target);
  const blocks = await bench.vm.qmp<{ inserted?: { file: string; 'node-name': string } }[]>('query-block');
  const node = blocks.find(({ inserted }) => inserted?.file === active)?.inserted?.['node-name'];
  if (node === undefined) throw new Error(`QEMU has no node for ${active}`);
  return node;
}

/**
 * If libvirt has forgotten the running VM: a start must be refused, and its owner then ends the orphan, as an operator
 * would after reading the VM's problem. True when that was so.
 */
export async function mendOrphan(bench: CrashBench, operationId: string): Promise<boolean> {
  let orphaned = false;
  await waitUntil(
    'the operation has ended or the VM is called an orphan',
    async () => {
      const vm = await bench.stack.api.get<Vm>(`/vms/${bench.vm.uuid}`);
      orphaned = vm.problems.some(({ code }) => code === 'ORPHANED_QEMU');
      if (orphaned) return true;
      const operation = await bench.stack.api.get<Operation>(`/operations/${operationId}`);
      return ['Succeeded', 'Failed', 'Cancelled'].includes(operation.state);
    },
    { timeoutMs: 240_000 },
  );
  if (!orphaned) return false;
  await waitForEnd(bench.stack.api, operationId);
  const start = await bench.host.tryVirsh('start', bench.vm.uuid);
  if (start.exitCode === 0) throw new Error('an orphaned VM could be started a second time');
  const orphan = (await bench.host.processes()).find(
    ({ argv }) => argv[0]?.includes('qemu-system') && argv.some((word) => word.includes(bench.vm.uuid)),
  );
  if (orphan === undefined) throw new Error('the orphaned QEMU is gone');
  await bench.host.killProcess(orphan.pid);
  await bench.vm.start();
  return true;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** The error with which a call, or the operation that it began, was refused. */
export async function refusalOf(bench: CrashBench, call: () => Promise<string>): Promise<Refusal> {
  try {
    const end = await waitForEnd(bench.stack.api, await call());
    if (end.error === undefined) throw new Error(`it was not refused: the operation ${end.state}`);
    return end.error;
  } catch (error) {
    if (error instanceof ApiProblem) return { code: error.code, message: error.problem.detail };
    throw error;
  }
}

export async function waitForNoProblems(bench: CrashBench): Promise<void> {
  await waitUntil(
    'the VM has no problems',
    async () => (await bench.stack.api.get<Vm>(`/vms/${bench.vm.uuid}`)).problems.length === 0,
  );
}

/** A process that has an image open for reading, with its locks. Returns the way to end it. */
export async function holdReader(bench: CrashBench, file: string, format: string): Promise<() => Promise<void>> {
  const child = await bench.host.spawn(['qemu-io', '-r', '-f', format, '-c', 'sleep 600000', file], {});
  await sleep(500);
  return () => child.kill('SIGKILL');
}
