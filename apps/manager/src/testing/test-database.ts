/** Real PostgreSQL for tests: one private cluster per test file, migrated once into a template, a clone of it per suite. */
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDataSource } from '../persistence/data-source.js';
import { plainClient, type OpenDatabase } from '../persistence/database/database.js';
import { ensureDatabase, openPrivateCluster, type PrivateCluster } from '../persistence/database/private-cluster.js';

const TEMPLATE = 'holdfast_template';

export interface TestDatabase {
  /** May be called again: each is a manager's own view of it. */
  open(): Promise<OpenDatabase>;
  /** The database as it is now, as another one. Nobody may have it open. */
  copy(): Promise<TestDatabase>;
}

export class TestCluster {
  private constructor(
    readonly folder: string,
    private readonly cluster: PrivateCluster,
  ) {}

  static async open(): Promise<TestCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'hf-db-'));
    // PostgreSQL runs as another user and has to get through.
    await chmod(folder, 0o755);
    const cluster = await openPrivateCluster(folder, () => {});
    await ensureDatabase(cluster, TEMPLATE);
    const template = createDataSource({ socketFolder: cluster.socketFolder, user: cluster.user, database: TEMPLATE });
    await template.initialize();
    await template.runMigrations();
    await template.destroy();
    return new TestCluster(folder, cluster);
  }

  /** A new, empty, migrated database. */
  newDatabase(): Promise<TestDatabase> {
    return this.databaseFrom(TEMPLATE);
  }

  private async databaseFrom(template: string): Promise<TestDatabase> {
    const database = `t_${randomUUID().replaceAll('-', '')}`;
    const admin = plainClient({ socketFolder: this.cluster.socketFolder, user: this.cluster.user, database: 'postgres' });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${database} TEMPLATE ${template}`);
    await admin.end();
    const address = { socketFolder: this.cluster.socketFolder, user: this.cluster.user, database };
    return {
      open: async () => {
        const dataSource = await createDataSource(address).initialize();
        return { dataSource, address, close: () => dataSource.destroy() };
      },
      copy: () => this.databaseFrom(database),
    };
  }

  async close(): Promise<void> {
    await this.cluster.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** True when somebody waits for a lock in this database. */
export async function someoneWaits(dataSource: OpenDatabase['dataSource']): Promise<boolean> {
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  return (await dataSource.query<unknown[]>(waiting)).length > 0;
}
