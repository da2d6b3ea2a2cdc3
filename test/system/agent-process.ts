/**
 * A real agent inside a test host: its configuration, its join, its life and its sudden death. Owns the folder `agent` of the
 * host, which survives a power loss as /etc and /var/lib do.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commandError } from '../testbed/command.js';
import type { TestHost, HostProcess } from '../testbed/test-host.js';
import { waitUntil } from '../testbed/wait-until.js';
import { BreakpointFolder } from './breakpoints.js';
import { freePort } from './free-port.js';
import { logTail } from './log-file.js';
import { commandOf, programs } from './repository.js';

export interface AgentOptions {
  /** Merged into the configuration file: top-level keys as JSON values. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

export class AgentProcess {
  readonly breakpoints: BreakpointFolder;

  private constructor(
    readonly host: TestHost,
    readonly port: number,
  ) {
    this.breakpoints = new BreakpointFolder(join(this.dir, 'breakpoints'));
  }

  /** Writes the configuration; starts nothing. VM disks live below `<host>/images`. */
  static async prepare(host: TestHost, options: AgentOptions = {}): Promise<AgentProcess> {
    const agent = new AgentProcess(host, await freePort());
    await mkdir(agent.dir, { recursive: true, mode: 0o700 });
    await mkdir(agent.primaryPool, { recursive: true, mode: 0o755 });
    await agent.breakpoints.create();
    const configuration = {
      listen: `127.0.0.1:${agent.port}`,
      stateDir: join(agent.dir, 'state'),
      mountRoot: join(agent.dir, 'mounts'),
      certificatesDir: join(agent.dir, 'certificates'),
      primaryPools: [agent.primaryPool],
      logFormat: 'text',
      ...options.settings,
    };
    await writeFile(agent.configFile, `${JSON.stringify(configuration, null, 2)}\n`);
    return agent;
  }

  get dir(): string {
    return join(this.host.dir, 'agent');
  }

  get stateDir(): string {
    return join(this.dir, 'state');
  }

  get configFile(): string {
    return join(this.dir, 'agent.yaml');
  }

  get logFile(): string {
    return join(this.dir, 'agent.log');
  }

  /** The folder in which disks of VMs may live. */
  get primaryPool(): string {
    return join(this.host.dir, 'images');
  }

  /** Lets the host join with a one-time token, by the agent's own command. */
  async join(managerUrl: string, token: string): Promise<string> {
    const argv = this.argv('join', '--manager', managerUrl, '--address', `127.0.0.1:${this.port}`, '--token');
    const result = await this.host.run([...argv, token], { timeoutMs: 60_000 });
    if (result.exitCode !== 0) throw commandError([...argv, '…'], result);
    return result.stdout;
  }

  /** Starts the agent; it is reachable some moments later. */
  async start(): Promise<void> {
    if ((await this.process()) !== undefined) throw new Error(`the agent of ${this.host.name} is running already`);
    await this.host.spawn(this.argv('run'), {
      logFile: this.logFile,
      env: { HOLDFAST_BREAKPOINTS: this.breakpoints.directory, LC_ALL: 'C.UTF-8' },
    });
    await waitUntil(`the agent of ${this.host.name} runs`, () => this.process(), { intervalMs: 10 });
  }

  /** Ends the agent's Node process and waits until it is gone; what it started may live on. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const found = await this.process();
    if (found === undefined) return;
    process.kill(found.outerPid, signal);
    await waitUntil(`the agent of ${this.host.name} has ended`, async () => (await this.process()) === undefined, {
      intervalMs: 10,
    });
  }

  /** Its Node process, or undefined while none runs. */
  async process(): Promise<HostProcess | undefined> {
    if (!this.host.isRunning) return undefined;
    return (await this.host.processes()).find((one) => one.argv.includes(programs.agent) && one.argv.includes('run'));
  }

  logTail(lines = 40): Promise<string> {
    return logTail(this.logFile, lines);
  }

  private argv(verb: 'run' | 'join', ...rest: string[]): string[] {
    return [...commandOf('agent'), verb, '--config', this.configFile, ...rest];
  }
}
