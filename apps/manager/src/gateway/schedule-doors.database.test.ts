/** Schedules through both doors over real services and a real PostgreSQL: what is refused, with the field named, and who sees what. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Quiesce } from '@holdfast/shared/wire/generated/holdfast/manager/v1/backup.js';
import {
  CreateBackupScheduleRequest,
  UpdateBackupScheduleRequest,
} from '@holdfast/shared/wire/generated/holdfast/manager/v1/manager.js';
import type { Caller } from '../access/caller.js';
import { AccountsService } from '../accounts/accounts.service.js';
import { ManagerServices } from './grpc/manager-services.js';
import { methodTable } from './grpc/method-table.js';
import type { Fixtures } from './testing/fixtures.js';
import type { RestAnswer, RestClient } from './testing/rest-client.js';
import { RestDoor } from './testing/rest-door.js';

let door: RestDoor;
let app: INestApplication;
let rest: RestClient;
let the: Fixtures;
let owner: Caller;

beforeAll(async () => {
  door = await RestDoor.open();
  ({ app, rest, the } = door);
  owner = await app.get(AccountsService).authenticate(the.userKey);
});
afterAll(async () => {
  await door?.close();
});

const call = (method: string, path: string, body?: unknown, key = the.userKey): Promise<RestAnswer> =>
  rest.call(method, `/api/v1${path}`, { key, ...(body === undefined ? {} : { body }) });
const PLAN_ALONE = { when: 'daily at 02:00', timeZone: 'Europe/Berlin', retention: { keepDaily: 7 } };
const PLAN = { ...PLAN_ALONE, name: 'nightly' };

describe('over REST', () => {
  test.each([
    [{ when: 'now and then' }, 'when'],
    [{ when: '0 2 30 2 *' }, 'when'],
    [{ when: '99 2 * * *' }, 'when'],
    [{ timeZone: 'Europe/Atlantis' }, 'timeZone'],
    [{ when: 'hourly', jitterSeconds: 3600 }, 'jitterSeconds'],
    [{ retention: { keepDaily: 0 } }, 'retention'],
    [{ retention: { maxBackups: 3, keepDaily: 7 } }, 'retention'],
    [{ retention: { keepForever: 1 } }, 'retention.keepForever'],
    [{ catchup: true }, 'catchup'],
  ])('%j is refused with the field named, created or only previewed', async (wrong, field) => {
    const plan = { ...PLAN_ALONE, ...wrong };
    const created = await call('POST', `/vms/${the.mine}/backup-schedules`, { ...plan, name: 'nightly' });
    const previewed = await call('POST', `/vms/${the.mine}/backup-schedules/preview`, plan);
    for (const answer of [created, previewed]) {
      expect([answer.status, answer.body['code']]).toEqual([400, 'INVALID_INPUT']);
      expect(answer.body['detail']).toContain(`${field}: `);
    }
    expect((await call('GET', '/backup-schedules')).body).toEqual({ items: [] });
  });

  test("a user makes, sees, changes and deletes its own; another's VM and schedule do not exist for it", async () => {
    const preview = await call('POST', `/vms/${the.mine}/backup-schedules/preview`, { when: PLAN.when, timeZone: PLAN.timeZone });
    expect([preview.status, (preview.body['runs'] as unknown[]).length]).toEqual([200, 5]);
    const made = await call('POST', `/vms/${the.mine}/backup-schedules`, PLAN);
    expect([made.status, made.body]).toEqual([
      201,
      expect.objectContaining({ ...PLAN, cron: '0 2 * * *', catchUp: true, enabled: true, nextRunAt: expect.any(String) }),
    ]);
    const others = await call('POST', `/vms/${the.others}/backup-schedules`, PLAN, the.adminKey);
    expect(others.status).toBe(201);
    for (const [method, path, body] of [
      ['POST', `/vms/${the.others}/backup-schedules`, PLAN],
      ['POST', `/vms/${the.others}/backup-schedules/preview`, { when: 'daily' }],
      ['POST', `/vms/${the.mine}/backup-schedules/preview`, { when: 'daily', scheduleId: others.body['id'] }],
      ['GET', `/backup-schedules/${String(others.body['id'])}`, undefined],
      ['PATCH', `/backup-schedules/${String(others.body['id'])}`, { enabled: false }],
      ['DELETE', `/backup-schedules/${String(others.body['id'])}`, undefined],
      ['POST', `/backup-schedules/${String(others.body['id'])}/actions/run`, undefined],
      ['POST', `/backup-schedules/${String(others.body['id'])}/actions/apply-retention`, {}],
    ] as const) {
      expect([method, path, (await call(method, path, body)).status]).toEqual([method, path, 404]);
    }
    const list = (key?: string) => call('GET', '/backup-schedules', undefined, key);
    expect([(await list()).body['items'], (await list(the.adminKey)).body['items']]).toMatchObject([[made.body], { length: 2 }]);

    const path = `/backup-schedules/${String(made.body['id'])}`;
    const changed = await call('PATCH', path, { retention: null, enabled: false });
    expect(changed.body).toMatchObject({ enabled: false, idleReason: 'the schedule is disabled' });
    expect([changed.body['retention'], changed.body['nextRunAt']]).toEqual([undefined, undefined]);
    expect((await call('POST', `${path}/actions/apply-retention`, { dryRun: true })).body).toEqual({ retention: [] });
    expect((await call('POST', `${path}/actions/run`)).body).toMatchObject({ code: 'HOST_UNAVAILABLE' });
    expect((await call('DELETE', path)).status).toBe(204);
    expect((await call('GET', path)).status).toBe(404);
  });
});

test('over gRPC the same, with what is left out as over REST', async () => {
  const methods = methodTable(app.get(ManagerServices));
  const request = CreateBackupScheduleRequest.fromPartial({ vmId: the.mine, name: 'hourly', when: 'hourly at :15' });
  const { schedule } = await methods.createBackupSchedule.answer(owner, request);
  expect(schedule).toMatchObject({
    cron: '15 * * * *',
    timeZone: 'UTC',
    quiesce: Quiesce.QUIESCE_NO,
    enabled: true,
    catchUp: true,
  });
  expect(schedule?.nextRunAt?.getUTCMinutes()).toBe(15);
  const scheduleId = schedule?.id ?? '';
  const update = (change: Partial<UpdateBackupScheduleRequest>) =>
    methods.updateBackupSchedule.answer(owner, UpdateBackupScheduleRequest.fromPartial({ scheduleId, ...change }));
  expect((await update({ retention: { keepLast: 3 }, catchUp: false })).schedule).toMatchObject({
    retention: { keepLast: 3 },
    catchUp: false,
    when: 'hourly at :15',
  });
  expect((await update({ keepEverything: true })).schedule?.retention).toBeUndefined();
  await expect(update({ retention: { keepLast: 0 } })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  const plan = { vmId: the.mine, when: 'daily', timeZone: '', jitterSeconds: 0, scheduleId };
  const preview = await methods.previewBackupSchedule.answer(owner, plan);
  expect([preview.cron, preview.runs.length, preview.retention]).toEqual(['0 0 * * *', 5, []]);
  expect(preview.runs[0]?.at?.toISOString().slice(11)).toBe('00:00:00.000Z');
  const listed = await methods.listBackupSchedules.answer(owner, { page: undefined, vmId: the.mine });
  expect(listed.schedules.map((one) => one.id)).toEqual([scheduleId]);
  expect(await methods.applyBackupScheduleRetention.answer(owner, { scheduleId, dryRun: true })).toEqual({
    retention: [],
    operation: undefined,
  });
  await methods.deleteBackupSchedule.answer(owner, { scheduleId });
  await expect(methods.getBackupSchedule.answer(owner, { scheduleId })).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
