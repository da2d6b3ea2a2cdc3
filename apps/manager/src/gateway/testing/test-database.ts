/** A private PostgreSQL for one test file, made new and removed at the end. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase, type OpenDatabase } from '../../persistence/database/database.js';

export interface TestDatabase {
  readonly database: OpenDatabase;
  readonly dataDir: string;
  remove(): Promise<void>;
}

export async function openTestDatabase(): Promise<TestDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-doors-'));
  // PostgreSQL runs as another user and has to get in.
  await chmod(dataDir, 0o755);
  const database = await openDatabase({ databaseUrl: undefined, dataDir }, () => undefined);
  const remove = async (): Promise<void> => {
    await database.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  return { database, dataDir, remove };
}
