/** A PostgreSQL that is reached as an external one: over TCP, by a password, as a role that owns one database and no more. */
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { plainClient } from '../persistence/database/database.js';
import { openPrivateCluster, type PrivateCluster } from '../persistence/database/private-cluster.js';

const ROLE = 'holdfast';
/** What an administrator's generator of passwords may come up with. */
const PASSWORD = `p@ss:w/o?r#d %&'"`;

export class DatabaseServer {
  private constructor(
    private readonly cluster: PrivateCluster,
    private readonly door: Server,
    private readonly open: Set<Socket>,
  ) {}

  /** In `folder`, which PostgreSQL's account can enter. */
  static async start(folder: string): Promise<DatabaseServer> {
    const cluster = await openPrivateCluster(folder, () => {});
    const admin = plainClient({ socketFolder: cluster.socketFolder, user: cluster.user, database: 'postgres' });
    await admin.connect();
    await admin.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD ${admin.escapeLiteral(PASSWORD)}`);
    await admin.query(`CREATE DATABASE ${ROLE} OWNER ${ROLE}`);
    const rules = join(folder, 'data', 'pg_hba.conf');
    const others = await readFile(rules, 'utf8');
    await writeFile(rules, `local all ${ROLE} scram-sha-256\n`);
    await appendFile(rules, others);
    await admin.query('SELECT pg_reload_conf()');
    await admin.end();
    // The private cluster listens on its socket alone: the door before it is what makes it a server on a network.
    const open = new Set<Socket>();
    const door = createServer((caller) => {
      const server = createConnection(join(cluster.socketFolder, '.s.PGSQL.5432'));
      for (const [socket, other] of [
        [caller, server],
        [server, caller],
      ] as const) {
        open.add(socket);
        socket.pipe(other);
        socket.on('error', () => other.destroy()).on('close', () => other.destroy() && open.delete(socket));
      }
    });
    await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
    return new DatabaseServer(cluster, door, open);
  }

  /** What a manager's configuration says. */
  url(password = PASSWORD): string {
    const { port } = this.door.address() as AddressInfo;
    return `postgres://${ROLE}:${encodeURIComponent(password)}@127.0.0.1:${port}/${ROLE}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => this.door.close(resolve));
    await this.cluster.stop();
  }
}
