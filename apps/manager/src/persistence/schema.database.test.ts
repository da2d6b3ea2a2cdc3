/** The schema is what the migrations make, the entities say, and the checked-in dump shows: drift of any of them is seen here. */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestCluster } from '../testing/test-database.js';
import type { OpenDatabase } from './database/database.js';

const DUMP = new URL('./schema.txt', import.meta.url);

const DESCRIBE = `
SELECT line FROM (
  SELECT format('%s.%s %s%s%s', c.table_name, c.column_name, c.udt_name, CASE WHEN c.is_nullable = 'NO' THEN ' not null' ELSE '' END,
    CASE WHEN c.column_default IS NULL THEN '' ELSE ' default ' || c.column_default END) AS line
  FROM information_schema.columns c WHERE c.table_schema = 'public'
  UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL SELECT format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c')
) lines ORDER BY line`;

describe('the schema', () => {
  let cluster: TestCluster;
  let database: OpenDatabase;
  beforeAll(async () => {
    cluster = await TestCluster.open();
    database = await (await cluster.newDatabase()).open();
  });
  afterAll(async () => {
    await database.close();
    await cluster.close();
  });

  it('of the migrations is that of the entities', async () => {
    const { upQueries } = await database.dataSource.driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it('is the checked-in one (write it anew with UPDATE_SCHEMA=1)', async () => {
    const lines = await database.dataSource.query<{ line: string }[]>(DESCRIBE);
    const text = `${lines.map(({ line }) => line).join('\n')}\n`;
    if (process.env['UPDATE_SCHEMA'] === '1') await writeFile(DUMP, text);
    expect(text).toBe(await readFile(DUMP, 'utf8'));
  });
});
