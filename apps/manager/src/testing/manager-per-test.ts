/** A manager on a database of its own for each test of a suite. Owns what is opened before and closed after. */
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { FakeAgent } from './fake-agent.js';
import { TestCluster } from './test-database.js';
import { managerFolder, TestManager } from './test-manager.js';

/** What a test begins with: a manager, and a zone in it. */
export interface MadeManager {
  readonly manager: TestManager;
  readonly zone: string;
  /** Where data folders of managers may be made; it goes with the suite. */
  readonly folder: string;
  /** A host in memory that is up in the zone. It is stopped after the test. */
  newHost(name?: string): Promise<FakeAgent>;
}

/** To be called in `describe`. `prepare` runs before each test, and keeps what its tests need. */
export function managerPerTest(prepare: (made: MadeManager) => Promise<void>): void {
  let cluster: TestCluster;
  let manager: TestManager | undefined;
  let agents: FakeAgent[] = [];
  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());
  beforeEach(async () => {
    const made = await TestManager.start(await (await cluster.newDatabase()).open(), managerFolder(cluster.folder));
    manager = made;
    const zone = await made.newZone();
    const newHost = async (name?: string): Promise<FakeAgent> => {
      const agent = await made.newHost(zone, name);
      agents.push(agent);
      return agent;
    };
    await prepare({ manager: made, zone, folder: cluster.folder, newHost });
  });
  afterEach(async () => {
    await manager?.stop();
    await Promise.all(agents.map((agent) => agent.stop()));
    [manager, agents] = [undefined, []];
  });
}
