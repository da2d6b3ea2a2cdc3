/** Opens the manager's database: the server of DATABASE_URL, or the private cluster. Runs the migrations once, whoever comes first. */
import { join } from 'node:path';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { createDataSource, type DatabaseAddress } from '../data-source.js';
import { ensureDatabase, openPrivateCluster } from './private-cluster.js';

/** Serialises migrations of managers that start at the same time. */
const MIGRATION_LOCK = 7_210_001;
const DATABASE = 'holdfast';

export interface OpenDatabase {
  readonly dataSource: DataSource;
  readonly address: DatabaseAddress;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly databaseUrl?: string | undefined;
  readonly dataDir: string;
}

/** Throws CONFIGURATION_INVALID when the server cannot be reached. */
export async function openDatabase(options: DatabaseOptions, log: (line: string) => void): Promise<OpenDatabase> {
  if (options.databaseUrl !== undefined) {
    const address = { url: options.databaseUrl };
    const dataSource = await openMigrated(address);
    return { dataSource, address, close: () => dataSource.destroy() };
  }
  const cluster = await openPrivateCluster(join(options.dataDir, 'postgresql'), log);
  try {
    await ensureDatabase(cluster, DATABASE);
    const address = { socketFolder: cluster.socketFolder, user: cluster.user, database: DATABASE };
    const dataSource = await openMigrated(address);
    const close = async (): Promise<void> => {
      await dataSource.destroy();
      await cluster.stop();
    };
    return { dataSource, address, close };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/** A plain client of the same server, for LISTEN and session locks. */
export function plainClient(address: DatabaseAddress): pg.Client {
  return 'url' in address
    ? new pg.Client({ connectionString: address.url, application_name: 'holdfast-manager' })
    : new pg.Client({
        host: address.socketFolder,
        user: address.user,
        database: address.database,
        application_name: 'holdfast-manager',
      });
}

async function openMigrated(address: DatabaseAddress): Promise<DataSource> {
  const lock = plainClient(address);
  try {
    await lock.connect();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `The database cannot be reached: ${reason}. Check DATABASE_URL and the server.`,
      {},
      { cause: error },
    );
  }
  try {
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const dataSource = createDataSource(address);
    await dataSource.initialize();
    await dataSource.runMigrations();
    return dataSource;
  } finally {
    await lock.end();
  }
}
