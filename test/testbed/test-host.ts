/**
 * A test host: a small machine of its own on this machine, with its own libvirtd and virtlogd, that can lose its power.
 * Owns its directory and every process inside. It never touches the machine's own libvirt.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removePiece } from './cleanup.js';
import { commandError, startBackground, tryRun, type CommandOptions, type CommandResult } from './command.js';
import { bootNamespace, enterArgv, killNamespace, livingInit, namespaceProcesses, type HostProcess } from './host-namespace.js';
import { hostUuid, keepCapabilities, seedCapabilities, writeLibvirtConfig } from './libvirt-config.js';
import { livingOwner, markOwner, prepareRunRoot, runPath } from './work-dir.js';
import { waitUntil } from './wait-until.js';

export type { HostProcess } from './host-namespace.js';

/** A long-lived program inside a host. `exited` settles with its exit code, or its signal's name. */
export interface HostChild {
  outerPid(): Promise<number>;
  kill(signal?: NodeJS.Signals): Promise<void>;
  exited: Promise<number | NodeJS.Signals>;
  logFile: string;
}

const commands = { virtlogd: '/usr/sbin/virtlogd', libvirtd: '/usr/sbin/libvirtd' };

export class TestHost {
  /** libvirt URI that reaches this host from anywhere on this machine, other test hosts included. */
  readonly uri: string;
  /** The UUID libvirt reports for this host. */
  readonly uuid: string;
  private init = 0;
  private childCount = 0;

  private constructor(
    readonly name: string,
    /** The host's own directory; the same path inside and outside. */
    readonly dir: string,
  ) {
    this.uri = `qemu+unix:///system?socket=${dir}/run/libvirt-sock`;
    this.uuid = hostUuid(name);
  }

  /**
   * Creates and boots a host. Leftovers of an interrupted run with the same name are torn down first.
   * Throws when a living process other than this one uses a host of that name.
   */
  static async create(options: { name: string }): Promise<TestHost> {
    await prepareRunRoot();
    const dir = runPath(options.name);
    const owner = await livingOwner(dir);
    if (owner !== undefined && owner !== process.pid) {
      throw new Error(`test host ${options.name} is in use by process ${owner}; choose another name`);
    }
    await removePiece(dir);
    await mkdir(dir, { recursive: true, mode: 0o755 });
    await markOwner(dir);
    await writeLibvirtConfig(dir, options.name);
    await seedCapabilities(dir);
    const host = new TestHost(options.name, dir);
    await host.boot();
    await host.virsh('domcapabilities', '--virttype', 'qemu');
    await keepCapabilities(dir);
    return host;
  }

  /** Boots the host with the state it had; libvirt answers when this returns. */
  async boot(): Promise<void> {
    if ((await livingInit(this.dir)) !== undefined) throw new Error(`test host ${this.name} is running already`);
    this.init = await bootNamespace(this.dir, this.name);
    await this.start('virtlogd');
    await this.startLibvirtd();
  }

  /** Kills every process of the host at the same moment; what was written to files by then stays. */
  async powerLoss(): Promise<void> {
    await killNamespace(this.dir);
    this.init = 0;
  }

  /** Kills the host and removes its directory with everything in it. Does not mind being called twice. */
  async destroy(): Promise<void> {
    await removePiece(this.dir);
    this.init = 0;
  }

  get isRunning(): boolean {
    return this.init !== 0;
  }

  /** Runs a program inside the host to its end. */
  async run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return tryRun([...this.enter(), ...argv], options);
  }

  /** Runs virsh inside the host; returns its standard output without the last line end, throws with its stderr. */
  async virsh(...args: string[]): Promise<string> {
    const result = await this.tryVirsh(...args);
    if (result.exitCode !== 0) throw commandError(['virsh', ...args], result);
    return result.stdout.replace(/\n+$/, '');
  }

  /** Runs virsh inside the host and reports whatever happened. */
  async tryVirsh(...args: string[]): Promise<CommandResult> {
    return this.run(['virsh', '-q', '-c', 'qemu:///system', ...args]);
  }

  /**
   * Starts a long-lived program inside the host, its output appended to `logFile` (default: a file in the host's log
   * folder). It dies with the host. `env` is added to this process's environment.
   */
  async spawn(
    argv: readonly string[],
    options: { env?: Record<string, string>; logFile?: string; cwd?: string } = {},
  ): Promise<HostChild> {
    this.childCount += 1;
    const logFile = options.logFile ?? join(this.dir, 'log', `child-${this.childCount}.log`);
    const { pid, exited } = await startBackground([...this.enter(), ...argv], {
      logFile,
      env: options.env,
      cwd: options.cwd,
    });
    let hasExited = false;
    void exited.then(() => (hasExited = true));
    // Until the program itself runs, the process below nsenter is still nsenter.
    const started = await waitUntil(
      `${argv[0]} runs in ${this.name}`,
      async () => (await programBelow(pid)) ?? (hasExited ? 'ended' : undefined),
      { intervalMs: 5 },
    );
    const outerPid = async () => {
      if (started === 'ended') throw new Error(`${argv[0]} ended at once; see ${logFile}`);
      return started;
    };
    return {
      exited,
      logFile,
      outerPid,
      kill: async (signal = 'SIGTERM') => {
        // A program that has ended is not signalled: its process id may be another's by now.
        if (!hasExited) process.kill(await outerPid(), signal);
      },
    };
  }

  /** Every process of the host except its init. */
  async processes(): Promise<HostProcess[]> {
    const all = await namespaceProcesses(this.liveInit());
    return all.filter((one) => !(one.argv[0] === 'sleep' && one.argv[1] === '86400'));
  }

  /** Sends a signal to a process of the host, named by its id inside. */
  async killProcess(pid: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const target = (await this.processes()).find((one) => one.pid === pid);
    if (target === undefined) throw new Error(`${this.name} has no process ${pid}`);
    process.kill(target.outerPid, signal);
  }

  /** Id inside the host of its libvirtd, or undefined when none runs. */
  async libvirtdPid(): Promise<number | undefined> {
    return (await this.daemon('libvirtd'))?.pid;
  }

  /** Kills libvirtd and waits until it is gone; its VMs run on. */
  async killLibvirtd(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const daemon = await this.daemon('libvirtd');
    if (daemon === undefined) return;
    process.kill(daemon.outerPid, signal);
    await waitUntil(`libvirtd of ${this.name} has ended`, async () => (await this.daemon('libvirtd')) === undefined, {
      intervalMs: 5,
    });
  }

  /** Stops libvirtd where it is (SIGSTOP): it accepts connections and never answers. */
  async pauseLibvirtd(): Promise<void> {
    await this.signalLibvirtd('SIGSTOP');
  }

  /** Lets a paused libvirtd go on. */
  async continueLibvirtd(): Promise<void> {
    await this.signalLibvirtd('SIGCONT');
  }

  /** Starts libvirtd when none runs and waits until it answers. */
  async startLibvirtd(): Promise<void> {
    if ((await this.daemon('libvirtd')) === undefined) await this.start('libvirtd');
    await waitUntil(`libvirtd of ${this.name} answers`, async () => {
      const answer = await this.run(['virsh', '-q', '-c', 'qemu:///system', 'uri'], { timeoutMs: 20_000 });
      if (answer.exitCode !== 0) throw new Error(answer.stderr.trim());
      return true;
    });
  }

  private async signalLibvirtd(signal: NodeJS.Signals): Promise<void> {
    const daemon = await this.daemon('libvirtd');
    if (daemon === undefined) throw new Error(`no libvirtd runs in ${this.name}`);
    process.kill(daemon.outerPid, signal);
  }

  private async start(daemon: keyof typeof commands): Promise<void> {
    const pidFile = `/run/libvirt/${daemon}.pid`;
    const argv = [commands[daemon], '-d', '-f', `/etc/libvirt/${daemon}.conf`, '-p', pidFile];
    const result = await this.run(argv, { timeoutMs: 60_000 });
    if (result.exitCode === 0) return;
    const log = await readFile(join(this.dir, 'log', `${daemon}.log`), 'utf8').catch(() => '');
    throw new Error(`${commandError(argv, result).message}\n${log.slice(-2_000)}`);
  }

  private async daemon(name: keyof typeof commands): Promise<HostProcess | undefined> {
    return (await this.processes()).find((one) => one.argv[0] === commands[name]);
  }

  private enter(): string[] {
    return enterArgv(this.liveInit());
  }

  private liveInit(): number {
    if (this.init === 0) throw new Error(`test host ${this.name} is not running: boot() it first`);
    return this.init;
  }
}

async function programBelow(nsenter: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${nsenter}/task/${nsenter}/children`, 'utf8').catch(() => '');
  const first = children.trim().split(' ')[0];
  if (first === undefined || first === '') return undefined;
  const commandLine = await readFile(`/proc/${first}/cmdline`, 'utf8').catch(() => '');
  return commandLine === '' || commandLine.startsWith('nsenter\0') ? undefined : Number(first);
}
