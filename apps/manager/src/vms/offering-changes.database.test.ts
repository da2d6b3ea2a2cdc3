/** Several changes of a VM's offering at once, on a real PostgreSQL: one after another whatever their order, nothing half done. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { BackupsService } from '../backups/backups.service.js';
import { OfferingsService } from '../offerings/offerings.service.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { StoragesService } from '../storage/storages.service.js';
import { domainOf, type FakeAgent } from '../testing/fake-agent.js';
import { TestCluster } from '../testing/test-database.js';
import { managerFolder, TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from './vms.service.js';

const ROUNDS = 6;

describe('changes of an offering at once', () => {
  let cluster: TestCluster;
  let managers: readonly [TestManager, TestManager];
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;
  let gold: string;
  let silver: string;

  beforeAll(async () => {
    cluster = await TestCluster.open();
    const databases = await cluster.newDatabase();
    const folder = managerFolder(cluster.folder);
    manager = await TestManager.start(await databases.open(), folder);
    managers = [manager, await TestManager.start(await databases.open(), folder)];
    const zone = await manager.newZone();
    agent = await manager.newHost(zone);
    await manager
      .get(StoragesService)
      .create(manager.admin, { zoneId: zone as never, name: 'nas', type: 'dir', source: '/backup', options: '', adopt: false });
    const offering = (name: string, chainSize: number) =>
      manager.get(OfferingsService).create(manager.admin, { name, description: '', chainSize });
    gold = (await offering('gold', 100)).id;
    silver = (await offering('silver', 50)).id;
  });
  afterAll(async () => {
    for (const one of managers) await one.stop();
    await agent.stop();
    await cluster.close();
  });

  beforeEach(async () => {
    vm = randomUUID();
    agent.setDomain(domainOf(vm, `vm-${vm}`, { vda: [`/pool/${vm}.qcow2`] }, () => agent.newInode()));
    await waitFor('the VM', async () => (await rows().findOneBy(VmEntity, { id: vm })) ?? undefined);
  });

  const rows = () => manager.database.dataSource.manager;
  const offeringOf = async () => (await rows().findOneByOrFail(VmEntity, { id: vm })).offeringId;
  const assign = (offeringId: string, by = manager) => by.get(VmsService).assignOffering(by.admin, vm, { offeringId });
  const unassign = (by = manager) => by.get(VmsService).unassignOffering(by.admin, vm);
  const take = (by = manager) => by.get(BackupsService).create(by.admin, vm, { description: '', isolated: false, quiesce: 'no' });
  const settle = async (...calls: readonly Promise<unknown>[]): Promise<string[]> =>
    (await Promise.allSettled(calls)).map((one) => (one.status === 'fulfilled' ? 'done' : HoldfastError.from(one.reason).code));
  const idle = () =>
    waitFor('no operation', async () =>
      (await rows().countBy(OperationEntity, [
        { vmId: vm, state: 'Queued' },
        { vmId: vm, state: 'Running' },
      ])) === 0
        ? true
        : undefined,
    );

  it('two offerings assigned at once: one is, the other is refused', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const [toGold, toSilver] = await settle(assign(gold), assign(silver, managers[1]));
      expect([toGold, toSilver].sort()).toEqual(['WRONG_STATE', 'done']);
      expect(await offeringOf()).toBe(toGold === 'done' ? gold : silver);
      await unassign();
      await idle();
    }
  });

  it('taken away and another one assigned at once: as if one after the other', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await assign(gold);
      const answers = await settle(unassign(), assign(silver, managers[1]));
      expect([
        ['done', 'done'],
        ['done', 'WRONG_STATE'],
      ]).toContainEqual(answers);
      expect(await offeringOf()).toBe(answers[1] === 'done' ? silver : null);
      if (answers[1] === 'done') await unassign();
      await idle();
    }
  });

  it('taken away twice at once: once', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await assign(gold);
      expect((await settle(unassign(), unassign(managers[1]))).sort()).toEqual(['NO_OFFERING', 'done']);
      await idle();
    }
  });

  it('taken away while a backup is asked for: it is refused, or made and its chain ended, and nothing is left on primary', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await assign(gold);
      await take();
      const [, taken] = await settle(unassign(), take(managers[1]));
      expect(['done', 'NO_OFFERING']).toContain(taken);
      await idle();
      expect(await rows().findOneByOrFail(VmEntity, { id: vm })).toMatchObject({
        offeringId: null,
        headBackupId: null,
        protectionState: 'Ok',
      });
      expect(agent.domains.get(vm)?.disks[0]?.layers).toHaveLength(1);
      const made = await rows().findBy(BackupEntity, { vmId: vm, state: 'BackedUp' });
      const tails = made.filter((one) => !made.some((other) => other.parentId === one.id));
      expect(tails.every((one) => one.endOfChain)).toBe(true);
    }
  });

  it('the next offering begins a chain of its own, although it is assigned before the old chain has ended', async () => {
    await assign(gold);
    const first = await take();
    await manager.finished(first.id);
    agent.scripts.push({ hold: true });
    const end = await unassign();
    await waitFor('the end of the chain to begin', () => agent.operations.get(end.id));
    await assign(silver);
    const next = await take();
    agent.resume(end.id);
    expect(await manager.finished(next.id)).toMatchObject({ state: 'Succeeded' });
    expect(await rows().findOneByOrFail(BackupEntity, { id: next.backupId ?? '' })).toMatchObject({
      type: 'FULL',
      fullReason: expect.stringMatching(/removed from its backup offering/),
    });
    expect(await offeringOf()).toBe(silver);
  });
});
