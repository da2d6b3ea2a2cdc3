/** The TypeORM data source. Owns its options; migrations are run by whoever opens it, never `synchronize`. */
import { DataSource } from 'typeorm';
import { ENTITIES } from './entities/index.js';
import { MIGRATIONS } from './migrations/index.js';
import { SnakeNaming } from './snake-naming.js';

/** How to reach a PostgreSQL server: a URL, or a socket folder with user and database. */
export type DatabaseAddress =
  { readonly url: string } | { readonly socketFolder: string; readonly user: string; readonly database: string };

export const POOL_SIZE = 12;

export function createDataSource(address: DatabaseAddress): DataSource {
  const connection =
    'url' in address ? { url: address.url } : { host: address.socketFolder, username: address.user, database: address.database };
  return new DataSource({
    type: 'postgres',
    ...connection,
    entities: ENTITIES,
    migrations: MIGRATIONS,
    migrationsTransactionMode: 'each',
    namingStrategy: new SnakeNaming(),
    synchronize: false,
    installExtensions: false,
    poolSize: POOL_SIZE,
    applicationName: 'holdfast-manager',
  });
}
