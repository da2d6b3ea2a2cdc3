/** The queue on a real PostgreSQL: order per VM, limits per host, several claimers, leases and fenced writes. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { operationKindSchema, type OperationKind } from '@holdfast/shared/api/operations.js';
import { Clock } from '../platform/clock.js';
import type { OpenDatabase } from '../persistence/database/database.js';
import { SettingOverrideEntity } from '../persistence/entities/access.entities.js';
import { HostEntity, ZoneEntity } from '../persistence/entities/inventory.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { GLOBAL_SCOPE_ID } from '../settings/settings.service.js';
import { someoneWaits, TestCluster } from '../testing/test-database.js';
import { waitFor } from '../testing/wait-for.js';
import { LeaseLost, OperationQueue, type Claim } from './operation-queue.js';

class SteeredClock extends Clock {
  offsetMs = 0;
  override now(): Date {
    return new Date(Date.now() + this.offsetMs);
  }
}

describe('OperationQueue', () => {
  let cluster: TestCluster;
  let database: OpenDatabase;
  let clock: SteeredClock;
  let queue: OperationQueue;
  let hostId: string;
  let zoneId: string;

  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());
  beforeEach(async () => {
    database = await (await cluster.newDatabase()).open();
    clock = new SteeredClock();
    queue = new OperationQueue(database.dataSource, clock, { leaseMs: 10_000 });
    zoneId = randomUUID();
    await database.dataSource.manager.insert(ZoneEntity, { id: zoneId, name: 'z', createdAt: new Date() });
    hostId = await newHost();
  });
  afterEach(() => database.close());

  async function newHost(maxConcurrentOperations = 0): Promise<string> {
    const id = randomUUID();
    await database.dataSource.manager.insert(HostEntity, {
      id,
      zoneId,
      name: id,
      address: `${id}:1`,
      state: 'Up',
      enabled: true,
      primaryPools: [],
      maxConcurrentOperations,
      createdAt: new Date(),
    });
    return id;
  }
  async function newVm(host = hostId): Promise<string> {
    const id = randomUUID();
    await database.dataSource.manager.insert(VmEntity, {
      id,
      zoneId,
      hostId: host,
      name: 'vm',
      powerState: 'Running',
      protectionState: 'Ok',
      guestAgent: false,
      problems: [],
      settings: {},
    });
    return id;
  }
  async function ask(vmId: string, kind: OperationKind = 'TakeBackup'): Promise<string> {
    return (
      await database.dataSource.transaction((manager) => queue.add(manager, { kind, vmId, hostId, accountId: null, input: {} }))
    ).id;
  }
  async function claimAll(owner = 'a0000000-0000-4000-8000-000000000001'): Promise<OperationEntity[]> {
    const claimed: OperationEntity[] = [];
    for (let next = await queue.claim(owner); next !== undefined; next = await queue.claim(owner)) claimed.push(next);
    return claimed;
  }
  const claimOf = (operation: OperationEntity): Claim => ({
    operationId: operation.id,
    owner: operation.owner ?? '',
    attempt: operation.attempt,
  });
  const finish = (operation: OperationEntity): Promise<void> =>
    queue.write(database.dataSource.manager, claimOf(operation), { state: 'Succeeded' });

  it('operations of one VM run one after another, in the order of asking', async () => {
    const vm = await newVm();
    const asked = [await ask(vm), await ask(vm, 'CleanupBackupError'), await ask(vm)];
    const ran: string[] = [];
    for (let round = 0; round < asked.length; round++) {
      const [only, ...others] = await claimAll();
      expect(others).toEqual([]);
      if (only === undefined) throw new Error('nothing was claimed');
      ran.push(only.id);
      await finish(only);
    }
    expect(ran).toEqual(asked);
  });

  it('one that is asked for while another of its VM is not yet committed comes after that one', async () => {
    const vm = await newVm();
    let commit = (): void => undefined;
    let asked = (): void => undefined;
    const [mayCommit, isAsked] = [new Promise<void>((done) => (commit = done)), new Promise<void>((done) => (asked = done))];
    const earlier = database.dataSource.transaction(async (manager) => {
      const { id } = await queue.add(manager, { kind: 'DeleteBackups', vmId: vm, hostId, accountId: null, input: {} });
      asked();
      await mayCommit;
      return id;
    });
    await isAsked;
    let committed = false;
    const later = ask(vm).finally(() => (committed = true));
    await waitFor('it to wait', async () => (committed || (await someoneWaits(database.dataSource)) ? true : undefined));
    // Would it be there by now, it would be claimed: nothing of the earlier one can be seen yet.
    expect((await claimAll()).map(({ id }) => id)).toEqual([]);
    commit();
    const [first, second] = [await earlier, await later];
    expect((await claimAll()).map(({ id }) => id)).toEqual([first]);
    expect(await database.dataSource.manager.countBy(OperationEntity, { id: second, state: 'Queued' })).toBe(1);
  });
  it.each(operationKindSchema.options)('while a %s works on a VM, every kind of operation waits for it', async (running) => {
    for (const arriving of operationKindSchema.options) {
      const vm = await newVm();
      const first = await ask(vm, running);
      const second = await ask(vm, arriving);
      const elsewhere = await ask(await newVm(await newHost()), arriving);
      const claimed = await claimAll();
      expect(claimed.map(({ id }) => id).sort()).toEqual([first, elsewhere].sort());
      for (const operation of claimed) await finish(operation);
      const [next, ...others] = await claimAll();
      expect([next?.id, others]).toEqual([second, []]);
      if (next !== undefined) await finish(next);
    }
  });

  it.each<[string, () => Promise<void>, number]>([
    ['the default', async () => {}, 4],
    ['the global setting', () => override('global', GLOBAL_SCOPE_ID, '2'), 2],
    ['the zone over the global one', () => override('global', GLOBAL_SCOPE_ID, '2').then(() => override('zone', zoneId, '3')), 3],
    [
      'the agent over all',
      () =>
        override('zone', zoneId, '3').then(
          async () => void (await database.dataSource.manager.update(HostEntity, { id: hostId }, { maxConcurrentOperations: 1 })),
        ),
      1,
    ],
    ['none below 1', () => override('zone', zoneId, '0'), 7],
  ])('the limit of a host is kept: %s', async (_what, prepare, limit) => {
    await prepare();
    for (let count = 0; count < 7; count++) await ask(await newVm());
    expect(await claimAll()).toHaveLength(limit);
  });

  async function override(scope: 'global' | 'zone', scopeId: string, value: string): Promise<void> {
    await database.dataSource.manager.insert(SettingOverrideEntity, {
      name: 'backup.max.concurrent.operations.per.host',
      scope,
      scopeId,
      value,
    });
  }

  it('a clean-up does not wait for a free place', async () => {
    for (let count = 0; count < 5; count++) await ask(await newVm());
    await ask(await newVm(), 'CleanupBackupError');
    expect((await claimAll()).map((operation) => operation.kind).sort()).toEqual([
      'CleanupBackupError',
      'TakeBackup',
      'TakeBackup',
      'TakeBackup',
      'TakeBackup',
    ]);
  });

  it('many claimers at once: nothing is claimed twice, no limit is passed', async () => {
    const second = await newHost(2);
    for (let count = 0; count < 12; count++) await ask(await newVm(count % 2 === 0 ? hostId : second));
    const claimed = (
      await Promise.all(Array.from({ length: 6 }, (_, index) => claimAll(`a0000000-0000-4000-8000-00000000000${index}`)))
    ).flat();
    expect(new Set(claimed.map((operation) => operation.id)).size).toBe(claimed.length);
    expect(claimed.filter((operation) => operation.hostId === hostId)).toHaveLength(4);
    expect(claimed.filter((operation) => operation.hostId === second)).toHaveLength(2);
  });

  it('a VM that has moved is worked on where it is now', async () => {
    const vm = await newVm();
    await ask(vm);
    const other = await newHost();
    await database.dataSource.manager.update(VmEntity, { id: vm }, { hostId: other });
    expect((await claimAll())[0]?.hostId).toBe(other);
  });

  it('an expired lease is taken over, and the old owner can write nothing more', async () => {
    await ask(await newVm());
    const [first] = await claimAll('a0000000-0000-4000-8000-000000000001');
    if (first === undefined) throw new Error('nothing was claimed');
    expect(await claimAll('a0000000-0000-4000-8000-000000000002')).toEqual([]);
    clock.offsetMs = 11_000;
    const [second] = await claimAll('a0000000-0000-4000-8000-000000000002');
    expect(second).toMatchObject({ id: first.id, attempt: first.attempt + 1 });
    await expect(finish(first)).rejects.toBeInstanceOf(LeaseLost);
    if (second !== undefined) await finish(second);
  });

  it('a heartbeat keeps a lease and tells which are lost', async () => {
    const me = 'a0000000-0000-4000-8000-000000000001';
    await ask(await newVm());
    const [mine] = await claimAll(me);
    const id = mine?.id ?? '';
    clock.offsetMs = 9_000;
    expect(await queue.heartbeat(me, [id, randomUUID()])).toEqual([{ id, cancelRequested: false }]);
    clock.offsetMs = 15_000;
    expect(await claimAll('a0000000-0000-4000-8000-000000000002')).toEqual([]);
    clock.offsetMs = 30_000;
    await claimAll('a0000000-0000-4000-8000-000000000002');
    expect(await queue.heartbeat(me, [id])).toEqual([]);
  });

  it('one that is to be cancelled is claimed out of its turn', async () => {
    const vm = await newVm();
    await ask(vm);
    const waiting = await ask(vm);
    await claimAll();
    await queue.requestCancel(waiting);
    expect((await claimAll()).map((operation) => operation.id)).toEqual([waiting]);
  });

  it('a released claim waits its time and shows what it waits for', async () => {
    await ask(await newVm());
    const [first] = await claimAll();
    if (first === undefined) throw new Error('nothing was claimed');
    await queue.release(claimOf(first), 'the host "h"', 5_000);
    expect(await claimAll()).toEqual([]);
    expect(await database.dataSource.manager.findOneByOrFail(OperationEntity, { id: first.id })).toMatchObject({
      waitingFor: 'the host "h"',
      owner: null,
    });
    clock.offsetMs = 6_000;
    expect(await claimAll()).toHaveLength(1);
  });
});
