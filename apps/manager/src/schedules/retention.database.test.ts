/** Retention on a real PostgreSQL: two whole managers on one database, and a host in memory that deletes what it is told. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  createScheduleSchema,
  previewScheduleSchema,
  type CreateSchedule,
  type Schedule,
} from '@holdfast/shared/api/schedules.js';
import type { Caller } from '../access/caller.js';
import { BackupsService } from '../backups/backups.service.js';
import { OfferingsService } from '../offerings/offerings.service.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { ScheduleEntity } from '../persistence/entities/schedule.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { StoragesService } from '../storage/storages.service.js';
import { domainOf, type FakeAgent } from '../testing/fake-agent.js';
import { TestCluster } from '../testing/test-database.js';
import { managerFolder, TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { RetentionRunner } from './retention-runner.js';
import { SchedulesService } from './schedules.service.js';

describe('retention', () => {
  let cluster: TestCluster;
  let managers: readonly [TestManager, TestManager];
  let manager: TestManager;
  let agent: FakeAgent;
  let offeringId: string;
  let vm: string;

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
    offeringId = (await manager.get(OfferingsService).create(manager.admin, { name: 'gold', description: '', chainSize: 100 }))
      .id;
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
    await manager.get(VmsService).assignOffering(manager.admin, vm, { offeringId });
  });

  const rows = () => manager.database.dataSource.manager;
  const service = () => manager.get(SchedulesService);
  const make = (input: Partial<CreateSchedule>): Promise<Schedule> =>
    service().create(manager.admin, vm, createScheduleSchema.parse({ name: randomUUID(), when: '0 0 1 1 *', ...input }));
  const deletions = (): Promise<OperationEntity[]> => rows().findBy(OperationEntity, { vmId: vm, kind: 'DeleteBackups' });
  const states = async (schedule: Schedule): Promise<string[]> =>
    (await rows().find(BackupEntity, { where: { scheduleId: schedule.id }, order: { seq: 'ASC' } })).map((one) => one.state);
  /** After `count` backups, with what their retention has asked for. */
  async function back(schedule: Schedule, count: number): Promise<void> {
    for (let made = 0; made < count; made += 1) {
      await manager.finished((await service().run(manager.admin, schedule.id)).id);
      await settled(schedule);
    }
  }
  async function settled(schedule: Schedule): Promise<void> {
    await Promise.all([...managers, ...managers].map((one) => one.get(RetentionRunner).round()));
    expect((await rows().findOneByOrFail(ScheduleEntity, { id: schedule.id })).retentionDueAt).toBeNull();
    await waitFor('no operation', async () =>
      (await rows().countBy(OperationEntity, [
        { vmId: vm, state: 'Queued' },
        { vmId: vm, state: 'Running' },
      ])) === 0
        ? true
        : undefined,
    );
  }

  it('deletes after each backup what no rule keeps, once, and nothing of others', async () => {
    const schedule = await make({ isolated: true, retention: { maxBackups: 2 } });
    const [other, byHand] = [await make({ isolated: true }), { description: '', isolated: true, quiesce: 'no' as const }];
    await back(other, 3);
    const own = await manager.get(BackupsService).create(manager.admin, vm, byHand);
    await manager.finished(own.id);
    await back(schedule, 2);
    expect(await deletions()).toEqual([]);
    await back(schedule, 2);
    expect(await states(schedule)).toEqual(['Expunged', 'Expunged', 'BackedUp', 'BackedUp']);
    expect(await deletions()).toHaveLength(2);
    expect(await states(other)).toEqual(['BackedUp', 'BackedUp', 'BackedUp']);
    expect(await rows().findOneByOrFail(BackupEntity, { id: own.backupId ?? '' })).toMatchObject({ state: 'BackedUp' });
  });

  it('takes from sight what others of the chain still need', async () => {
    const schedule = await make({ retention: { keepLast: 1 } });
    await back(schedule, 3);
    expect(await states(schedule)).toEqual(['Removed', 'Removed', 'BackedUp']);
    expect((await rows().findOneByOrFail(VmEntity, { id: vm })).headBackupId).not.toBeNull();
  });

  it('never deletes a protected one, and gives it no place of the others', async () => {
    const schedule = await make({ isolated: true, retention: { maxBackups: 1 } });
    await back(schedule, 1);
    await rows().update(BackupEntity, { scheduleId: schedule.id }, { protected: true });
    await back(schedule, 2);
    expect(await states(schedule)).toEqual(['BackedUp', 'Expunged', 'BackedUp']);
  });

  it('is applied by hand after its rules changed; asked what it would do, it changes nothing', async () => {
    const schedule = await make({ isolated: true });
    await back(schedule, 3);
    const keepsAll = await service().applyRetention(manager.admin, schedule.id, { dryRun: false });
    expect([keepsAll.operation, keepsAll.retention.every((one) => one.keep)]).toEqual([undefined, true]);
    await service().update(manager.admin, schedule.id, { retention: { keepDaily: 1 } });
    const said = await service().applyRetention(manager.admin, schedule.id, { dryRun: true });
    expect([said.operation, said.retention.map((one) => one.keep)]).toEqual([undefined, [true, false, false]]);
    expect(await deletions()).toEqual([]);
    const [done, again] = await Promise.all(
      managers.map((one) => one.get(SchedulesService).applyRetention(one.admin, schedule.id, { dryRun: false })),
    );
    expect(done?.operation ?? again?.operation).toBeDefined();
    await settled(schedule);
    expect(await states(schedule)).toEqual(['Expunged', 'Expunged', 'BackedUp']);
    expect((await deletions()).every((one) => one.state === 'Succeeded')).toBe(true);
  });

  it('leaves what a former owner of the VM has, and does not show it', async () => {
    const [shop, bank] = [await manager.newUser('shop'), await manager.newUser('bank')];
    const give = (to: Caller) => manager.get(VmsService).update(manager.admin, vm, { accountId: to.accountId as never });
    await give(shop);
    const schedule = await make({ isolated: true, retention: { maxBackups: 2 } });
    await back(schedule, 2);
    await give(bank);
    await back(schedule, 3);
    expect(await states(schedule)).toEqual(['BackedUp', 'BackedUp', 'Expunged', 'BackedUp', 'BackedUp']);

    const timing = previewScheduleSchema.parse({ when: '0 0 1 1 *', scheduleId: schedule.id, retention: { maxBackups: 1 } });
    const shown = await service().preview(bank, vm, timing);
    expect(shown.retention.map(({ keep }) => keep)).toEqual([true, false]);
    const said = await service().applyRetention(manager.admin, schedule.id, { dryRun: true });
    expect(said.retention.map(({ keep }) => keep)).toEqual([true, true]);
    expect((await manager.get(BackupsService).list(shop, { limit: 10 })).items).toHaveLength(2);
  });
});
