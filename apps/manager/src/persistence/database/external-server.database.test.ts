/** Managers on a PostgreSQL that is not theirs: reached by URL and password, with no right but that on their database. */
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DatabaseServer } from '../../testing/database-server.js';
import { TestManager } from '../../testing/test-manager.js';
import { HostEntity } from '../entities/inventory.entities.js';
import { openDatabase, type OpenDatabase } from './database.js';

describe('an external PostgreSQL', () => {
  let folder: string;
  let server: DatabaseServer;
  const open = (databaseUrl = server.url()): Promise<OpenDatabase> =>
    openDatabase({ databaseUrl, dataDir: join(folder, 'unused') }, () => {});
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hf-ext-'));
    await chmod(folder, 0o755);
    server = await DatabaseServer.start(folder);
  });
  afterAll(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('is migrated once by managers that come at the same time, and keeps what they write', async () => {
    const [first, second] = await Promise.all([open(), open()]);
    await first.dataSource.query(`INSERT INTO zone VALUES ('a0000000-0000-4000-8000-000000000001', 'z', now())`);
    await first.close();
    expect(await second.dataSource.query('SELECT name FROM zone')).toEqual([{ name: 'z' }]);
    await second.close();
    const again = await open();
    expect(await again.dataSource.query('SELECT name FROM zone')).toEqual([{ name: 'z' }]);
    await again.close();
  });

  it('a wrong password is a wrong configuration, and is not repeated to anybody', async () => {
    const error = await open(server.url('guessed')).catch((refusal: unknown) => refusal);
    expect(error).toMatchObject({ code: 'CONFIGURATION_INVALID', message: expect.stringContaining('DATABASE_URL') });
    expect(String((error as Error).message)).not.toContain('guessed');
  });

  it('carries two managers with a copy of one authority; a host that joined by one is reached by both', async () => {
    const first = await TestManager.start(await open(), join(folder, 'manager-1'));
    await cp(join(folder, 'manager-1', 'ca'), join(folder, 'manager-2', 'ca'), { recursive: true });
    const second = await TestManager.start(await open(), join(folder, 'manager-2'));
    try {
      const agent = await first.newHost(await first.newZone(), 'kvm1');
      const { id: hostId } = await first.database.dataSource.manager.findOneByOrFail(HostEntity, { name: 'kvm1' });
      await first.stop();
      await agent.stop();
      await second.hostState(hostId, 'Down');
      await agent.start();
      await second.hostState(hostId, 'Up');
      await agent.stop();
    } finally {
      await second.stop();
    }
  });
});
