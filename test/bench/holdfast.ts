/**
 * Holdfast as it is installed: manager with its private PostgreSQL, agent on a test host, a storage, all spoken to by REST.
 * Owns the whole system and its VM. Times are from the call to what the product itself stamped, on the same clock.
 */
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { waitForSuccess } from '../system/operations.js';
import { SystemStack, type StackStorage } from '../system/system-stack.js';
import type { TestVm } from '../testbed/test-vm.js';
import { changeData, startBenchVm } from './bench-vm.js';
import { copyMiB, type BenchOptions } from './options.js';
import { settle } from './stopwatch.js';

/** Seconds of one step, by its name. */
export type StepSeconds = Readonly<Record<string, number>>;

export interface MeasuredBackup {
  readonly backup: Backup;
  /** From the call until the manifest was durable: from then on the backup exists. */
  readonly publishedSeconds: number;
  /** From the call until the operation had ended: deltas merged, the chain at rest. */
  readonly endedSeconds: number;
  readonly steps: StepSeconds;
}

export class Holdfast {
  private constructor(
    readonly stack: SystemStack,
    private readonly options: BenchOptions,
    private readonly storage: StackStorage,
    readonly vm: TestVm,
  ) {}

  static async start(options: BenchOptions, base: string): Promise<Holdfast> {
    const stack = await SystemStack.start({ name: 'bench' });
    try {
      const storage = await stack.createStorage('storage');
      const vm = await startBenchVm(stack.first.host, 'bench', base, options);
      await stack.waitForVm(vm);
      await stack.assign(vm, await stack.createOffering('bench'));
      return new Holdfast(stack, options, storage, vm);
    } catch (error) {
      const logs = await stack.logs();
      await stack.destroy();
      throw new Error(`Holdfast did not start: ${String(error)}\n${logs}`, { cause: error });
    }
  }

  change(seed: string): Promise<void> {
    return changeData(this.vm, this.options, seed);
  }

  /** Files of the disk, the one that the guest writes to first. */
  async diskFiles(): Promise<string[]> {
    return (await this.vm.chain('vda')).map(({ filename }) => filename);
  }

  /** A quiesced backup, as the peer takes them. */
  async backup(type: Backup['type']): Promise<MeasuredBackup> {
    await settle(await this.diskFiles(), copyMiB(this.options));
    const calledAt = Date.now();
    const started = await this.stack.startBackup(this.vm, { quiesce: 'require' });
    const ended = await waitForSuccess(this.stack.api, started.id);
    const backup = await this.stack.api.get<Backup>(`/backups/${ended.backupId ?? ''}`);
    assert.equal(backup.type, type, `type of backup ${backup.name} (${backup.fullReason ?? 'no reason for a full one'})`);
    assert.equal(backup.quiesced, true, `backup ${backup.name} is quiesced`);
    const published = ended.steps.find(({ name }) => name === 'publish-manifest')?.finishedAt;
    return {
      backup,
      publishedSeconds: secondsSince(calledAt, published),
      endedSeconds: secondsSince(calledAt, ended.finishedAt),
      steps: stepSeconds(ended),
    };
  }

  /** Files of a backup's only volume and of what is below it, top first. */
  backupChain(top: Backup, below: Backup): string[] {
    return [top, below].map(({ volumes }) => join(this.storage.media.path, volumes[0]?.file ?? ''));
  }

  async stopVm(): Promise<void> {
    await this.vm.shutdown();
    await this.stack.waitForPower(this.vm, 'Stopped');
  }

  /** Seconds from the call until the VM is defined on the restored disk. */
  async restore(backup: Backup, below: Backup): Promise<{ seconds: number; steps: StepSeconds }> {
    await settle(this.backupChain(backup, below), copyMiB(this.options));
    const calledAt = Date.now();
    const ended = await this.stack.restore(backup);
    return { seconds: secondsSince(calledAt, ended.finishedAt), steps: stepSeconds(ended) };
  }

  /** Removes what a run left, so that all runs have the same room on disk and in memory, and starts the VM again. */
  async nextRun(): Promise<void> {
    const released = await this.stack.api.delete<Operation>(`/vms/${this.vm.uuid}/superseded-files`);
    await waitForSuccess(this.stack.api, released.id);
    // Their chain has ended: no later backup needs these files.
    const folder = join(this.storage.media.path, 'backups', this.vm.uuid);
    for (const backupId of await readdir(folder)) await rm(join(folder, backupId), { recursive: true });
    await this.vm.start();
    await this.stack.waitForPower(this.vm, 'Running');
  }

  async destroy(): Promise<void> {
    await this.stack.destroy();
  }
}

function secondsSince(startMs: number, end: string | undefined): number {
  if (end === undefined) throw new Error('a time is missing in what the manager answered');
  return (Date.parse(end) - startMs) / 1000;
}

function stepSeconds(operation: Operation): StepSeconds {
  const seconds: Record<string, number> = {};
  for (const { name, startedAt, finishedAt } of operation.steps) {
    if (finishedAt !== undefined) seconds[name] = (seconds[name] ?? 0) + (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000;
  }
  return seconds;
}
