/**
 * The peer: Debian's virtnbdbackup and virtnbdrestore, on a test host of their own. Owns that host, its VM and the files it
 * writes. It is used as its manual says: default options, no compression, the restored VM defined under another name.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { commandError } from '../testbed/command.js';
import { TestHost } from '../testbed/test-host.js';
import type { TestVm } from '../testbed/test-vm.js';
import { changeData, startBenchVm } from './bench-vm.js';
import type { BenchOptions } from './options.js';
import { longMs } from './stopwatch.js';

const vmName = 'bench-peer';
const restoredName = 'bench-peer-restored';

export class Peer {
  private constructor(
    readonly host: TestHost,
    private readonly options: BenchOptions,
    private readonly vm: TestVm,
  ) {}

  static async start(options: BenchOptions, base: string): Promise<Peer> {
    const host = await TestHost.create({ name: 'bench-peer' });
    try {
      return new Peer(host, options, await startBenchVm(host, vmName, base, options));
    } catch (error) {
      await host.destroy();
      throw error;
    }
  }

  async version(): Promise<string> {
    return (await this.call(['virtnbdbackup', '--version'])).trim();
  }

  async full(): Promise<void> {
    await this.backup('full');
  }

  async diskFiles(): Promise<string[]> {
    return (await this.vm.chain('vda')).map(({ filename }) => filename);
  }

  async backupFiles(): Promise<string[]> {
    return (await readdir(this.backups)).filter((name) => name.endsWith('.data')).map((name) => join(this.backups, name));
  }

  change(seed: string): Promise<void> {
    return changeData(this.vm, this.options, seed);
  }

  async incremental(): Promise<void> {
    await this.backup('inc');
  }

  /** Disks from full and increment into a new folder, and a VM defined on them. */
  async restore(): Promise<void> {
    const log = join(this.host.dir, 'restore.log');
    await this.call(['virtnbdrestore', '-n', '-i', this.backups, '-o', this.restored, '-c', '-D', '-N', restoredName, '-L', log]);
  }

  /** The VM that is not backed up now should not run beside the restore, as with everybody else. */
  async stopVm(): Promise<void> {
    await this.vm.shutdown();
  }

  /** Throws when the restored VM is not there; then removes all that a run left and starts the VM again. */
  async nextRun(): Promise<void> {
    await this.host.virsh('undefine', restoredName, '--nvram', '--checkpoints-metadata');
    await rm(this.restored, { recursive: true });
    await rm(this.backups, { recursive: true });
    await this.vm.start();
  }

  async destroy(): Promise<void> {
    await this.host.destroy();
  }

  private get backups(): string {
    return join(this.host.dir, 'backups');
  }

  private get restored(): string {
    return join(this.host.dir, 'restored');
  }

  private async backup(level: 'full' | 'inc'): Promise<void> {
    await this.call(['virtnbdbackup', '-n', '-d', vmName, '-l', level, '-o', this.backups, '-S', await this.scratch()]);
  }

  private async scratch(): Promise<string> {
    const folder = join(this.host.dir, 'scratch');
    await mkdir(folder, { recursive: true, mode: 0o777 });
    return folder;
  }

  private async call(argv: readonly string[]): Promise<string> {
    const result = await this.host.run(argv, { timeoutMs: longMs, cwd: this.host.dir, env: { HOME: this.host.dir } });
    if (result.exitCode !== 0) throw commandError(argv, result);
    return result.stdout + result.stderr;
  }
}
