/** Managers of one database have one certificate authority: another one, or none where there should be one, is no start. */
import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import { TestCluster, type TestDatabase } from '../testing/test-database.js';
import { managerFolder, TestManager } from '../testing/test-manager.js';
import { CertificateAuthority } from './certificate-authority.js';

describe('the certificate authority that the database knows', () => {
  let cluster: TestCluster;
  let databases: TestDatabase;
  let first: TestManager;
  let firstFolder: string;
  let known: string;
  const agents: FakeAgent[] = [];
  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());
  beforeEach(async () => {
    databases = await cluster.newDatabase();
    firstFolder = managerFolder(cluster.folder);
    first = await TestManager.start(await databases.open(), firstFolder);
    known = fingerprintOf(first);
  });
  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.stop();
    await first.stop();
  });

  const fingerprintOf = (manager: TestManager): string =>
    (manager.get(CertificateAuthority as never) as CertificateAuthority).fingerprint;
  const hostNamed = async (name: string): Promise<string> =>
    (await first.database.dataSource.manager.findOneByOrFail(HostEntity, { name })).id;
  /** What a manager with this data directory says when it starts: its refusal, or that it did. */
  const refusal = async (folder: string, options: { lostCertificateAuthority?: string } = {}): Promise<unknown> => {
    const database = await databases.open();
    const started = await TestManager.start(database, folder, options).catch((error: unknown) => error);
    if (!(started instanceof TestManager)) await database.close();
    else await started.stop();
    return started instanceof TestManager ? 'started' : started;
  };

  it('is not made anew in another data directory; with a copy of it the second manager starts', async () => {
    const folder = managerFolder(cluster.folder);
    expect(await refusal(folder)).toMatchObject({
      code: 'CONFIGURATION_INVALID',
      message: expect.stringMatching(new RegExp(`${known}.*holds none.*Copy the folder ca/`)),
      fields: { knownFingerprint: known, path: join(folder, 'ca') },
    });
    expect(await readdir(folder).catch(() => [])).toEqual([]);
    await cp(join(firstFolder, 'ca'), join(folder, 'ca'), { recursive: true });
    const second = await TestManager.start(await databases.open(), folder);
    expect(fingerprintOf(second)).toBe(known);
    await second.stop();
  });

  it('refuses another one, and names both', async () => {
    const folder = managerFolder(cluster.folder);
    const other = await CertificateAuthority.open(join(folder, 'ca'), () => new Date());
    expect(await refusal(folder)).toMatchObject({
      code: 'CONFIGURATION_INVALID',
      message: expect.stringMatching(new RegExp(`${known}.*${other.fingerprint}.*lostCertificateAuthority: ${known}`)),
    });
  });

  it('of managers that start at once on a new database with authorities of their own, one starts', async () => {
    databases = await cluster.newDatabase();
    const folders = [managerFolder(cluster.folder), managerFolder(cluster.folder)];
    const seen = await Promise.all(folders.map((folder) => refusal(folder)));
    expect(seen.filter((one) => one === 'started')).toHaveLength(1);
    expect(seen.find((one) => one !== 'started')).toMatchObject({ code: 'CONFIGURATION_INVALID' });
  });

  it('when it is declared lost, by its fingerprint, a new one takes its place: hosts are down until they join again', async () => {
    const agent = await first.newHost(await first.newZone('z'), 'kvm1');
    agents.push(agent);
    const hostId = await hostNamed('kvm1');
    await first.stop();
    await rm(firstFolder, { recursive: true });
    expect(await refusal(firstFolder, { lostCertificateAuthority: 'f'.repeat(64) })).toMatchObject({
      code: 'CONFIGURATION_INVALID',
    });
    first = await TestManager.start(await databases.open(), firstFolder, { lostCertificateAuthority: known });
    expect(fingerprintOf(first)).not.toBe(known);
    await first.hostState(hostId, 'Down');
    await agents.pop()?.stop();
    const [zone] = await first.database.dataSource.query<{ id: string }[]>('SELECT id FROM zone');
    agents.push(await first.newHost(zone?.id ?? '', 'kvm1'));
    expect(await hostNamed('kvm1')).toBe(hostId);
    // The setting that stays in the configuration does nothing more; the lost one does not come back by itself.
    const now = fingerprintOf(first);
    await first.stop();
    first = await TestManager.start(await databases.open(), firstFolder, { lostCertificateAuthority: known });
    expect(fingerprintOf(first)).toBe(now);
  });
});
