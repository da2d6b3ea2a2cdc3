/** The private PostgreSQL: made once, adopted while alive, gone with its parent. */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openDatabase } from './database.js';
import { openPrivateCluster } from './private-cluster.js';

describe('the private cluster', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hf-pc-'));
    await chmod(folder, 0o755);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is made once; a second opening adopts the server that is alive and leaves it running', async () => {
    const lines: string[] = [];
    const first = await openPrivateCluster(folder, (line) => lines.push(line));
    const pid = await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8');
    const second = await openPrivateCluster(folder, (line) => lines.push(line));
    await second.stop();
    expect(await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).toBe(pid);
    await first.stop();
    const third = await openPrivateCluster(folder, (line) => lines.push(line));
    await third.stop();
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['Made', 'Adopted']);
  });

  it('keeps what was written, over an ordered end and a new start', async () => {
    const first = await openDatabase({ dataDir: folder }, () => {});
    await first.dataSource.query(`INSERT INTO zone VALUES ('a0000000-0000-4000-8000-000000000001', 'z', now())`);
    await first.close();
    const second = await openDatabase({ dataDir: folder }, () => {});
    expect(await second.dataSource.query('SELECT name FROM zone')).toEqual([{ name: 'z' }]);
    await second.close();
  });

  it('a server that cannot be reached is a wrong configuration, said plainly', async () => {
    await expect(
      openDatabase({ databaseUrl: 'postgres://nobody@127.0.0.1:1/x', dataDir: folder }, () => {}),
    ).rejects.toMatchObject({ code: 'CONFIGURATION_INVALID', message: expect.stringContaining('DATABASE_URL') });
    await expect(openDatabase({ dataDir: join(folder, 'x'.repeat(90)) }, () => {})).rejects.toMatchObject({
      code: 'CONFIGURATION_INVALID',
      message: expect.stringContaining('too long'),
    });
  });
});
