/**
 * A PostgreSQL of the manager's own: made once under the data folder, reached by a unix socket alone, ended with its parent
 * even after kill -9. A server that is already alive on the socket is adopted. Must not touch any other server.
 */
import { access, chmod, chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { execa, type ResultPromise } from 'execa';
import pg from 'pg';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

const START_DEADLINE_MS = 30_000;
const START_PAUSE_MS = 50;
const INITDB_DEADLINE_MS = 120_000;

export interface PrivateCluster {
  readonly socketFolder: string;
  readonly user: string;
  /** Ends the server if this process started it; an adopted one is left to its owner. */
  stop(): Promise<void>;
}

/** Starts (or adopts) the cluster in `folder`. Throws CONFIGURATION_INVALID that says what is missing. */
export async function openPrivateCluster(folder: string, log: (line: string) => void): Promise<PrivateCluster> {
  const socketFolder = join(folder, 'run');
  const dataFolder = join(folder, 'data');
  const root = process.getuid?.() === 0;
  const owner = root ? await postgresAccount() : { name: userInfo().username, uid: userInfo().uid, gid: userInfo().gid };
  const user = root ? 'postgres' : owner.name;
  if (socketFolder.length > 90) {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `The path ${socketFolder} is too long for a unix socket (90 characters). Choose a shorter dataDir, or set DATABASE_URL.`,
      { path: socketFolder },
    );
  }

  if (await answers(socketFolder, user)) {
    log(`Adopted the private PostgreSQL that is alive in ${socketFolder}`);
    return { socketFolder, user, stop: async () => {} };
  }

  const binaries = await postgresBinaries();
  await mkdir(folder, { recursive: true, mode: 0o755 });
  for (const path of [socketFolder, dataFolder]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
    if (root) await chown(path, owner.uid, owner.gid);
  }
  // pdeathsig: the kernel ends the server when the manager dies, however it dies.
  const asOwner = [
    ...(root ? [`--reuid=${owner.name}`, `--regid=${String(owner.gid)}`, '--clear-groups'] : []),
    '--pdeathsig=INT',
    '--',
  ];
  const env = { LC_ALL: 'C.UTF-8', PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
  if (!(await exists(join(dataFolder, 'PG_VERSION')))) {
    const initdb = [
      join(binaries, 'initdb'),
      '-D',
      dataFolder,
      '-U',
      user,
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--auth=peer',
      '--data-checksums',
    ];
    await execa('setpriv', [...asOwner, ...initdb], { env, extendEnv: false, timeout: INITDB_DEADLINE_MS, cwd: '/' });
    log(`Made a private PostgreSQL in ${dataFolder}`);
  }
  await allowManager(dataFolder, user);
  const start = (): ResultPromise =>
    execa(
      'setpriv',
      [
        ...asOwner,
        join(binaries, 'postgres'),
        '-D',
        dataFolder,
        '-k',
        socketFolder,
        '-c',
        'listen_addresses=',
        '-c',
        'shared_buffers=32MB',
        '-c',
        'max_connections=40',
      ],
      {
        env,
        extendEnv: false,
        cwd: '/',
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'pipe',
        buffer: { stdout: false, stderr: true },
        maxBuffer: 100_000,
        reject: false,
        detached: true,
        cleanup: true,
      },
    );
  return { socketFolder, user, stop: await startUntilAlive(start, socketFolder, user) };
}

/** Creates the database when the cluster has none of that name. */
export async function ensureDatabase(cluster: Pick<PrivateCluster, 'socketFolder' | 'user'>, database: string): Promise<void> {
  const client = new pg.Client({ host: cluster.socketFolder, user: cluster.user, database: 'postgres' });
  await client.connect();
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
}

/** The server of a manager that was just killed may still be ending and hold its lock: then the start is tried again. Returns how to end it. */
async function startUntilAlive(start: () => ResultPromise, socketFolder: string, user: string): Promise<() => Promise<void>> {
  const until = Date.now() + START_DEADLINE_MS;
  let said = 'no answer';
  while (Date.now() < until) {
    const server = start();
    let ended = false;
    void server.then((result) => {
      ended = true;
      said = String(result.stderr ?? '');
    });
    while (!ended && Date.now() < until) {
      if (await answers(socketFolder, user)) return () => stop(server);
      await setTimeout(START_PAUSE_MS);
    }
    if (!ended) await stop(server);
    await setTimeout(START_PAUSE_MS);
  }
  throw new HoldfastError(
    'CONFIGURATION_INVALID',
    `The private PostgreSQL in ${socketFolder} does not start: ${said.trim().slice(-500)}`,
    { path: socketFolder },
  );
}

async function stop(server: ResultPromise): Promise<void> {
  server.kill('SIGINT');
  await server.catch(() => undefined);
}

async function answers(socketFolder: string, user: string): Promise<boolean> {
  const client = new pg.Client({ host: socketFolder, user, database: 'postgres', connectionTimeoutMillis: 5000 });
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Who may connect: this process's account, as the owner of the cluster, over the socket. Both files exist and keep their owner. */
async function allowManager(dataFolder: string, user: string): Promise<void> {
  const accounts = new Set([userInfo().username, user]);
  await writeFile(join(dataFolder, 'pg_ident.conf'), [...accounts].map((account) => `holdfast ${account} ${user}\n`).join(''));
  await writeFile(join(dataFolder, 'pg_hba.conf'), 'local all all peer map=holdfast\n');
}

/** The newest server of Debian's packages. */
async function postgresBinaries(): Promise<string> {
  const home = '/usr/lib/postgresql';
  const versions = (await readdir(home).catch(() => []))
    .filter((name) => /^\d+$/.test(name))
    .sort((a, b) => Number(b) - Number(a));
  for (const version of versions) {
    const bin = join(home, version, 'bin');
    if (await exists(join(bin, 'initdb'))) return bin;
  }
  throw new HoldfastError(
    'CONFIGURATION_INVALID',
    'No PostgreSQL server is installed here. Install the package "postgresql-15", or set DATABASE_URL to reach one elsewhere.',
    { path: home },
  );
}

/** PostgreSQL refuses to run as root: the account that Debian's package makes is used. */
async function postgresAccount(): Promise<{ name: string; uid: number; gid: number }> {
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((entry) => entry.startsWith('postgres:'));
  const fields = line?.split(':');
  if (fields?.[2] === undefined || fields[3] === undefined) {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      'The user "postgres" does not exist. Install the package "postgresql-15", run the manager as another user than root, or set DATABASE_URL.',
    );
  }
  return { name: 'postgres', uid: Number(fields[2]), gid: Number(fields[3]) };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
