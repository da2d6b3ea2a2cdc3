/**
 * A real manager with its private PostgreSQL, in a pid name space of its own: whatever it started dies with that, also when
 * the test that started it was killed. Owns its directory and its configuration.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removePiece } from '../testbed/cleanup.js';
import { startBackground } from '../testbed/command.js';
import {
  bootNamespace,
  enterArgv,
  killNamespace,
  livingInit,
  namespaceProcesses,
  type HostProcess,
} from '../testbed/host-namespace.js';
import { livingOwner, markOwner, prepareRunRoot, runPath } from '../testbed/work-dir.js';
import { waitUntil } from '../testbed/wait-until.js';
import { freePort } from './free-port.js';
import { logTail } from './log-file.js';
import { commandOf, programs } from './repository.js';
import { RestClient } from './rest-client.js';

export interface ManagerOptions {
  readonly name: string;
  /** Merged into the configuration file: top-level keys as JSON values. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

export class ManagerProcess {
  private init = 0;

  private constructor(
    readonly name: string,
    readonly dir: string,
    readonly restPort: number,
    readonly grpcPort: number,
  ) {}

  /** Makes the directory and starts the manager; returns when its REST API answers. Leftovers of that name go first. */
  static async start(options: ManagerOptions): Promise<ManagerProcess> {
    await prepareRunRoot();
    const dir = runPath(options.name);
    const owner = await livingOwner(dir);
    if (owner !== undefined && owner !== process.pid) {
      throw new Error(`${options.name} is in use by process ${owner}: wait for it, or choose another name`);
    }
    await removePiece(dir);
    await mkdir(dir, { recursive: true, mode: 0o755 });
    await markOwner(dir);
    await writeFile(join(dir, 'hosts'), `127.0.0.1 localhost ${options.name}\n::1 localhost\n`);
    const manager = new ManagerProcess(options.name, dir, await freePort(), await freePort());
    await mkdir(manager.dataDir, { mode: 0o755 });
    const configuration = {
      dataDir: manager.dataDir,
      rest: { listen: `127.0.0.1:${manager.restPort}` },
      grpc: { listen: `127.0.0.1:${manager.grpcPort}` },
      // Fast enough to notice a restarted agent soon, slow enough not to be work.
      heartbeatSeconds: 1,
      leaseSeconds: 5,
      ...options.settings,
    };
    // JSON is YAML.
    await writeFile(manager.configFile, `${JSON.stringify(configuration, null, 2)}\n`);
    await manager.launch();
    return manager;
  }

  get dataDir(): string {
    return join(this.dir, 'data');
  }

  get logFile(): string {
    return join(this.dir, 'manager.log');
  }

  get configFile(): string {
    return join(this.dir, 'manager.yaml');
  }

  /** PEM of the CA that signed the manager's certificate. */
  get caFile(): string {
    return join(this.dir, 'ca.pem');
  }

  get url(): string {
    return `https://127.0.0.1:${this.restPort}`;
  }

  /** Starts a manager that was killed or stopped; returns when it answers. */
  async launch(): Promise<void> {
    if ((await this.process()) !== undefined) throw new Error(`manager ${this.name} is running already`);
    if ((await livingInit(this.dir)) === undefined) this.init = await bootNamespace(this.dir, this.name);
    const child = await startBackground([...enterArgv(this.init), ...commandOf('manager')], {
      logFile: this.logFile,
      // A database of the environment is not this system's.
      env: { LC_ALL: 'C.UTF-8', HOLDFAST_MANAGER_CONFIG: this.configFile, DATABASE_URL: '' },
    });
    let ended: string | undefined;
    void child.exited.then((how) => (ended = String(how)));
    await waitUntil(
      `manager ${this.name} answers`,
      async () => {
        if (ended !== undefined) return true;
        const client = await this.client();
        return (await client.send('GET', '/zones')).status === 200;
      },
      { intervalMs: 100 },
    );
    if (ended !== undefined) throw new Error(`the manager ended at its start (${ended}):\n${await logTail(this.logFile)}`);
  }

  /** The REST API with the first administrator's key. */
  async client(): Promise<RestClient> {
    const [key, caPem] = [await this.firstKey(), await this.caPem()];
    await writeFile(this.caFile, caPem);
    return new RestClient({ port: this.restPort, key, caPem });
  }

  /** SIGKILL to the manager's Node process; its PostgreSQL ends by itself, as on a real machine. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const found = await this.process();
    if (found === undefined) return;
    process.kill(found.outerPid, signal);
    await waitUntil(`manager ${this.name} has ended`, async () => (await this.process()) === undefined, { intervalMs: 10 });
  }

  /** Stops it orderly. */
  async stop(): Promise<void> {
    await this.kill('SIGTERM');
  }

  get isKnown(): boolean {
    return this.init !== 0;
  }

  /** Its Node process, or undefined while none runs. */
  async process(): Promise<HostProcess | undefined> {
    const init = await livingInit(this.dir);
    if (init === undefined) return undefined;
    this.init = init;
    return (await namespaceProcesses(init)).find((one) => one.argv.includes(programs.manager));
  }

  /** Ends everything and removes the directory. Does not mind being called twice. */
  async destroy(): Promise<void> {
    await killNamespace(this.dir);
    await removePiece(this.dir);
    this.init = 0;
  }

  private async firstKey(): Promise<string> {
    return (await readFile(join(this.dataDir, 'admin.key'), 'utf8')).trim();
  }

  private async caPem(): Promise<string> {
    const text = await readFile(await this.findInData(/(^|\/)ca\.pem$/), 'utf8');
    const block = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(text)?.[0];
    if (block === undefined) throw new Error('the CA file of the manager holds no certificate');
    return `${block}\n`;
  }

  private async findInData(pattern: RegExp): Promise<string> {
    const names = await readdir(this.dataDir);
    const nested = await Promise.all(
      names
        .filter((name) => name !== 'postgresql')
        .map(async (name) => [
          name,
          ...(await readdir(join(this.dataDir, name)).catch(() => [])).map((inner) => `${name}/${inner}`),
        ]),
    );
    const found = nested.flat().find((name) => pattern.test(name));
    if (found === undefined) throw new Error(`no file ${String(pattern)} in ${this.dataDir} yet`);
    return join(this.dataDir, found);
  }
}
