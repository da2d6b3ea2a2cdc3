/** Schedules on a real PostgreSQL: whole managers on one database, and a host in memory behind real gRPC and TLS. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { CreateSchedule, Schedule } from '@holdfast/shared/api/schedules.js';
import { createScheduleSchema } from '@holdfast/shared/api/schedules.js';
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
import { MISSED_AFTER_MS, RETRY_MS } from './decide-run.js';
import { ScheduleRunner } from './schedule-runner.js';
import { jitterMs } from './schedule-times.js';
import { SchedulesService } from './schedules.service.js';

const HOUR_MS = 3_600_000;
/** Does not come by itself while a test runs. */
const IN_HALF_A_YEAR = `0 0 1 ${((new Date().getUTCMonth() + 6) % 12) + 1} *`;

describe('schedules', () => {
  let cluster: TestCluster;
  let managers: TestManager[];
  let another: () => Promise<TestManager>;
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;
  let offeringId: string;

  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());

  beforeEach(async () => {
    const databases = await cluster.newDatabase();
    const folder = managerFolder(cluster.folder);
    manager = await TestManager.start(await databases.open(), folder);
    managers = [manager];
    another = async () => TestManager.start(await databases.open(), folder);
    const zone = await manager.newZone();
    agent = await manager.newHost(zone);
    await manager
      .get(StoragesService)
      .create(manager.admin, { zoneId: zone as never, name: 'nas', type: 'dir', source: '/backup', options: '', adopt: false });
    vm = randomUUID();
    agent.setDomain(domainOf(vm, 'web', { vda: ['/pool/root.qcow2'] }, () => agent.newInode()));
    await waitFor('the VM', async () => (await rows().findOneBy(VmEntity, { id: vm })) ?? undefined);
    offeringId = (await manager.get(OfferingsService).create(manager.admin, { name: 'gold', description: '', chainSize: 100 }))
      .id;
    await manager.get(VmsService).assignOffering(manager.admin, vm, { offeringId });
  });
  afterEach(async () => {
    for (const one of managers) await one.stop();
    await agent.stop();
  });

  const rows = () => manager.database.dataSource.manager;
  const service = () => manager.get(SchedulesService);
  const make = (input: Partial<CreateSchedule> = {}): Promise<Schedule> =>
    service().create(manager.admin, vm, createScheduleSchema.parse({ name: randomUUID(), when: IN_HALF_A_YEAR, ...input }));
  const show = (one: Schedule): Promise<Schedule> => service().get(manager.admin, one.id);
  const row = (one: Schedule): Promise<ScheduleEntity> => rows().findOneByOrFail(ScheduleEntity, { id: one.id });
  const backups = (one: Schedule): Promise<BackupEntity[]> => rows().findBy(BackupEntity, { scheduleId: one.id });
  /** Its time came `agoMs` ago. */
  const due = async (one: Schedule, agoMs: number): Promise<Date> => {
    const at = new Date(Date.now() - agoMs);
    await rows().update(ScheduleEntity, { id: one.id }, { fireAt: at, nextRunAt: at });
    return at;
  };
  /** Several rounds of every manager at the same time, besides those that they make by themselves. */
  const rounds = async (): Promise<void> => {
    await Promise.all([...managers, ...managers, ...managers].map((one) => one.get(ScheduleRunner).round()));
  };
  const idle = () =>
    waitFor('no operation', async () =>
      (await rows().countBy(OperationEntity, [{ state: 'Queued' }, { state: 'Running' }])) === 0 ? true : undefined,
    );

  it('one time makes one backup, however many managers see it come', async () => {
    managers.push(await another());
    const schedule = await make({ quiesce: 'try' });
    for (let time = 1; time <= 8; time += 1) {
      await due(schedule, 1000);
      await rounds();
      await idle();
      await rounds();
      expect(await backups(schedule)).toHaveLength(time);
      const shown = await show(schedule);
      expect(shown.lastError).toBeUndefined();
      expect(new Date(shown.nextRunAt ?? 0).getTime()).toBeGreaterThan(Date.now());
    }
    const made = await backups(schedule);
    expect(made.every((one) => one.state === 'BackedUp' && one.quiesce === 'try' && one.vmId === vm)).toBe(true);
    expect(await show(schedule)).toMatchObject({ lastBackupState: 'BackedUp' });
    expect(await rows().countBy(OperationEntity, { kind: 'TakeBackup' })).toBe(8);
  });

  it('a manager that dies while it makes a backup leaves the run as due as it was', async () => {
    const schedule = await make();
    const before = await row(schedule);
    const vmRow = await rows().findOneByOrFail(VmEntity, { id: vm });
    const death = manager
      .get(BackupsService)
      .createScheduled(vmRow, { description: '', isolated: false, quiesce: 'no' }, schedule.id, async (tx, backupId) => {
        await tx.update(ScheduleEntity, { id: schedule.id }, { nextRunAt: null, lastBackupId: backupId });
        throw new Error('killed');
      });
    await expect(death).rejects.toThrow('killed');
    expect([await row(schedule), await backups(schedule)]).toEqual([before, []]);
  });

  it('of many missed runs one is made when it is to be made up for, and none, with a record, when not', async () => {
    managers.push(await another());
    const [with_, without] = [await make({ catchUp: true }), await make({ catchUp: false })];
    const missed = await due(without, MISSED_AFTER_MS + 48 * HOUR_MS);
    await due(with_, MISSED_AFTER_MS + 48 * HOUR_MS);
    await rounds();
    await idle();
    await rounds();
    expect([(await backups(with_)).length, (await backups(without)).length]).toEqual([1, 0]);
    const shown = await show(without);
    expect(shown.lastError).toMatchObject({ code: 'RUN_MISSED', fields: { fireAt: missed.toISOString() } });
    for (const one of [await show(with_), shown]) expect(new Date(one.nextRunAt ?? 0).getTime()).toBeGreaterThan(Date.now());
    await due(without, 1000);
    await rounds();
    expect(await backups(without)).toHaveLength(1);
    expect((await show(without)).lastError).toBeUndefined();
  });

  it('what is in the way is recorded and the schedule goes on: what passes is tried again before the next run', async () => {
    const [patient, strict] = [await make(), await make({ catchUp: false })];
    await agent.stop();
    const { hostId } = await rows().findOneByOrFail(VmEntity, { id: vm });
    await manager.hostState(hostId ?? '', 'Down');
    const at = await due(patient, 1000);
    await due(strict, 1000);
    await rounds();
    const [waiting, passed] = [await row(patient), await row(strict)];
    expect([waiting.lastError?.code, passed.lastError?.code]).toEqual(['HOST_UNAVAILABLE', 'HOST_UNAVAILABLE']);
    expect(waiting.fireAt).toEqual(at);
    expect(waiting.nextRunAt?.getTime()).toBeLessThanOrEqual(Date.now() + RETRY_MS);
    expect(passed.fireAt?.getTime()).toBeGreaterThan(Date.now());
    expect(await backups(patient)).toEqual([]);

    await agent.start();
    await manager.hostState(hostId ?? '', 'Up');
    await rows().update(ScheduleEntity, { id: patient.id }, { nextRunAt: new Date() });
    await rounds();
    expect(await backups(patient)).toHaveLength(1);
    expect((await show(patient)).lastError).toBeUndefined();
  });

  it('what does not pass by itself waits for the next run', async () => {
    const schedule = await make();
    await rows().update(VmEntity, { id: vm }, { protectionState: 'BackupError' });
    await due(schedule, 1000);
    await rounds();
    const shown = await show(schedule);
    expect(shown).toMatchObject({ lastError: { code: 'CHAIN_UNEXPLAINED' } });
    expect(new Date(shown.nextRunAt ?? 0).getTime()).toBeGreaterThan(Date.now());
    expect(await backups(schedule)).toEqual([]);
  });

  it('backups of one schedule do not pile up', async () => {
    const schedule = await make();
    agent.scripts.push({ hold: true });
    await due(schedule, 1000);
    await rounds();
    const [first] = await backups(schedule);
    await waitFor('the agent to work', () => agent.operations.get(first?.operationId ?? ''));
    await due(schedule, 1000);
    await rounds();
    expect(await show(schedule)).toMatchObject({ lastError: { code: 'VM_BUSY', fields: { backupId: first?.id } } });
    expect(await backups(schedule)).toHaveLength(1);
    agent.resume(first?.operationId ?? '');
    await idle();
    await due(schedule, 1000);
    await rounds();
    expect(await backups(schedule)).toHaveLength(2);
  });

  it('without an offering, without a VM or disabled it rests, says why, and makes up for nothing afterwards', async () => {
    const schedule = await make();
    await manager.finished((await manager.get(VmsService).unassignOffering(manager.admin, vm)).id);
    await due(schedule, 1000);
    await rounds();
    expect(await show(schedule)).toMatchObject({ idleReason: expect.stringMatching(/no backup offering/), enabled: true });
    expect((await row(schedule)).nextRunAt?.getTime()).toBeGreaterThan(Date.now());
    await manager.get(VmsService).assignOffering(manager.admin, vm, { offeringId });
    await rounds();
    expect([await backups(schedule), (await show(schedule)).idleReason]).toEqual([[], undefined]);

    await service().update(manager.admin, schedule.id, { enabled: false });
    expect(await show(schedule)).toMatchObject({ idleReason: expect.stringMatching(/disabled/) });
    expect(await row(schedule)).toMatchObject({ fireAt: null, nextRunAt: null });
    await service().update(manager.admin, schedule.id, { enabled: true });
    agent.removeDomain(vm);
    await waitFor('gone', async () => (await rows().findOneBy(VmEntity, { id: vm, powerState: 'Gone' })) ?? undefined);
    await due(schedule, 1000);
    await rounds();
    expect(await show(schedule)).toMatchObject({ idleReason: expect.stringMatching(/no host knows the VM "web"/) });
    expect([await backups(schedule), (await show(schedule)).lastError]).toEqual([[], undefined]);
    await expect(make()).rejects.toMatchObject({ code: 'WRONG_STATE' });
  });

  it('is run by hand, changed and deleted; its next run moves only when its time does', async () => {
    const schedule = await make({ when: 'daily at 02:30', timeZone: 'Europe/Berlin', jitterSeconds: 600, isolated: true });
    const { fireAt, nextRunAt } = await row(schedule);
    if (fireAt === null || nextRunAt === null) throw new Error('no next run');
    expect(nextRunAt.getTime() - fireAt.getTime()).toBe(jitterMs(schedule.id, fireAt, 600));

    const operation = await service().run(manager.admin, schedule.id);
    await manager.finished(operation.id);
    expect(await backups(schedule)).toMatchObject([{ isolated: true, state: 'BackedUp' }]);
    expect(await manager.get(BackupsService).get(manager.admin, operation.backupId ?? '')).toMatchObject({
      scheduleId: schedule.id,
    });
    await service().update(manager.admin, schedule.id, { name: 'nightly', retention: { keepDaily: 7 }, catchUp: false });
    expect(await row(schedule)).toMatchObject({
      fireAt,
      nextRunAt,
      name: 'nightly',
      retention: { keepDaily: 7 },
      catchUp: false,
    });
    await service().update(manager.admin, schedule.id, { when: 'hourly at :15', retention: null });
    expect((await row(schedule)).fireAt?.getUTCMinutes()).toBe(15);
    expect((await show(schedule)).retention).toBeUndefined();
    await expect(service().update(manager.admin, schedule.id, { timeZone: 'Nowhere/Atlantis' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      fields: { field: 'timeZone' },
    });
    const other = await make({ name: 'other' });
    await expect(service().update(manager.admin, other.id, { name: 'nightly' })).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    await expect(make({ name: 'nightly' })).rejects.toMatchObject({ code: 'NAME_TAKEN' });

    await service().delete(manager.admin, schedule.id);
    expect((await service().list(manager.admin, { limit: 10 })).items.map((one) => one.id)).toEqual([other.id]);
    expect(await backups(schedule)).toHaveLength(1);
  });

  it('is previewed without being made: runs here and there, and what its retention would let go', async () => {
    const schedule = await make();
    for (let count = 0; count < 3; count += 1) await manager.finished((await service().run(manager.admin, schedule.id)).id);
    const plan = { when: 'daily at 02:00', timeZone: 'Asia/Kolkata', jitterSeconds: 0, retention: { maxBackups: 2 } };
    const preview = await service().preview(manager.admin, vm, { ...plan, scheduleId: schedule.id as never });
    expect(preview.runs).toHaveLength(5);
    expect(preview.runs[0]).toEqual({
      at: expect.stringMatching(/T20:30:00.000Z$/),
      local: expect.stringMatching(/T02:00:00\+05:30$/),
    });
    expect(preview.retention.map((one) => one.keep)).toEqual([true, true, false]);
    expect(preview.retention[2]?.reasons).toEqual(['maxBackups: older than the newest 2 backups']);
    expect(await service().preview(manager.admin, vm, plan)).toMatchObject({ retention: [] });
    expect(await rows().count(ScheduleEntity)).toBe(1);
  });

  it("is another account's secret", async () => {
    const schedule = await make();
    const stranger = { role: 'user', accountId: randomUUID(), apiKeyId: randomUUID() } as unknown as Caller;
    const hidden = { code: 'NOT_FOUND' };
    const plan = { when: 'daily', timeZone: 'UTC', jitterSeconds: 0 };
    await expect(service().get(stranger, schedule.id)).rejects.toMatchObject(hidden);
    await expect(service().update(stranger, schedule.id, { enabled: false })).rejects.toMatchObject(hidden);
    await expect(service().delete(stranger, schedule.id)).rejects.toMatchObject(hidden);
    await expect(service().run(stranger, schedule.id)).rejects.toMatchObject(hidden);
    await expect(service().preview(stranger, vm, plan)).rejects.toMatchObject(hidden);
    await expect(service().create(stranger, vm, createScheduleSchema.parse({ name: 'x', when: 'daily' }))).rejects.toMatchObject(
      hidden,
    );
    expect((await service().list(stranger, { limit: 10 })).items).toEqual([]);
    await rows().update(VmEntity, { id: vm }, { accountId: manager.admin.accountId });
    const owner = { ...stranger, accountId: manager.admin.accountId };
    expect((await service().list(owner, { limit: 10 })).items).toHaveLength(1);
    expect(await service().get(owner, schedule.id)).toMatchObject({ id: schedule.id });
  });
});
