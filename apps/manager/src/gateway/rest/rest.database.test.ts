/** The REST door over real services and a real PostgreSQL: who gets in, what is refused, and how. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { problemSchema } from '@holdfast/shared/api/common.js';
import { ApiKeyEntity } from '../../persistence/entities/access.entities.js';
import type { Fixtures } from '../testing/fixtures.js';
import type { RestAnswer, RestClient } from '../testing/rest-client.js';
import { RestDoor } from '../testing/rest-door.js';

const UNKNOWN = '00000000-0000-4000-8000-00000000dead';

let door: RestDoor;
let app: INestApplication;
let rest: RestClient;
let the: Fixtures;

beforeAll(async () => {
  door = await RestDoor.open();
  ({ app, rest, the } = door);
});
afterAll(async () => {
  await door?.close();
});

const admin = (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<RestAnswer> =>
  rest.call(method, `/api/v1${path}`, {
    key: the.adminKey,
    ...(body === undefined ? {} : { body }),
    ...(headers === undefined ? {} : { headers }),
  });
const user = (method: string, path: string, body?: unknown): Promise<RestAnswer> =>
  rest.call(method, `/api/v1${path}`, { key: the.userKey, ...(body === undefined ? {} : { body }) });

/** A whole problem with this status and code. */
function expectProblem(answer: RestAnswer, status: number, code: string): void {
  expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
  expect(problemSchema.parse(answer.body)).toMatchObject({ status, code });
}

describe('who gets in', () => {
  test('no key, a wrong key, another scheme and an expired key are 401 and say what to do', async () => {
    expectProblem(await rest.call('GET', '/api/v1/vms'), 401, 'UNAUTHENTICATED');
    const wrong = await rest.call('GET', '/api/v1/vms', { key: 'hfk1.wrong' });
    expectProblem(wrong, 401, 'UNAUTHENTICATED');
    expect(wrong.headers.get('www-authenticate')).toContain('Bearer');
    expectProblem(
      await rest.call('GET', '/api/v1/vms', { headers: { authorization: `Basic ${the.adminKey}` } }),
      401,
      'UNAUTHENTICATED',
    );

    const made = await admin('POST', '/api-keys', {
      name: 'brief',
      role: 'admin',
      accountId: (await accountId()) as string,
      validSeconds: 60,
    });
    await app
      .get(DataSource)
      .manager.update(ApiKeyEntity, { id: made.body['id'] as string }, { expiresAt: new Date(Date.now() - 1000) });
    const expired = await rest.call('GET', '/api/v1/vms', { key: made.body['secret'] as string });
    expectProblem(expired, 401, 'UNAUTHENTICATED');
    expect(expired.body['detail']).toContain('"brief" expired');
  });

  test("a user's key gets 403 for what is the administrator's", async () => {
    const calls: [string, string, unknown?][] = [
      ['GET', '/hosts'],
      ['GET', '/zones'],
      ['GET', '/settings'],
      ['GET', '/secondary-storages'],
      ['GET', '/accounts'],
      ['POST', '/zones', { name: 'x' }],
      ['POST', '/hosts/join-tokens', { zoneId: the.zoneId }],
      ['PUT', '/settings/backup.chain.size', { value: '3' }],
      ['DELETE', `/backup-offerings/${the.offeringId}`],
      ['PATCH', `/vms/${the.mine}`, { accountId: null }],
    ];
    for (const [method, path, body] of calls) expectProblem(await user(method, path, body), 403, 'FORBIDDEN');
  });

  test("a user sees its own account's things, and another's id answers like one that does not exist", async () => {
    expect((await user('GET', '/vms')).body['items']).toEqual([expect.objectContaining({ id: the.mine })]);
    expect((await user('GET', '/backups')).body['items']).toEqual([expect.objectContaining({ id: the.myBackup })]);
    const hidden: [string, string, unknown?][] = [
      ['GET', `/vms/${the.others}`],
      ['GET', `/vms/${the.others}/volumes`],
      ['POST', `/vms/${the.others}/backups`, {}],
      ['POST', `/vms/${the.others}/actions/finish-backup-chain`, { dryRun: true }],
      ['GET', `/vms/${the.others}/superseded-files`],
      ['PUT', `/vms/${the.others}/backup-offering`, { offeringId: the.offeringId }],
      ['GET', `/backups/${the.othersBackup}`],
      ['POST', `/backups/${the.othersBackup}/actions/restore`, {}],
    ];
    for (const [method, path, body] of hidden) {
      const [others, unknown] = [
        await user(method, path, body),
        await user(method, path.replace(/[0-9a-f-]{36}/, UNKNOWN), body),
      ];
      expectProblem(others, 404, 'NOT_FOUND');
      const shape = (answer: RestAnswer): string =>
        answer.text.replaceAll(the.others, 'ID').replaceAll(the.othersBackup, 'ID').replaceAll(UNKNOWN, 'ID');
      expect(shape(others)).toBe(shape(unknown));
    }
  });

  test('a user may not choose the host of a restore', async () => {
    expectProblem(await user('POST', `/backups/${the.myBackup}/actions/restore`, { hostId: the.hostId }), 403, 'FORBIDDEN');
  });

  test('the health check is public and tells nothing else', async () => {
    const answer = await rest.call('GET', '/healthz');
    expect([answer.status, answer.body]).toEqual([200, { status: 'ok' }]);
  });
});

describe('input that is refused', () => {
  test('unknown fields of bodies and queries are refused by name', async () => {
    const body = await admin('POST', '/zones', { name: 'x', colour: 'red' });
    expectProblem(body, 400, 'INVALID_INPUT');
    expect(body.body['issues']).toEqual([{ path: 'colour', message: 'there is no such field' }]);
    const query = await admin('GET', '/vms?hosts=1');
    expectProblem(query, 400, 'INVALID_INPUT');
    expect(query.body['issues']).toEqual([{ path: 'hosts', message: 'there is no such field' }]);
  });

  test('malformed JSON, another content type and too large a body are problems, too', async () => {
    expectProblem(await rest.call('POST', '/api/v1/zones', { key: the.adminKey, raw: '{"name": ' }), 400, 'INVALID_INPUT');
    const form = await rest.call('POST', '/api/v1/zones', {
      key: the.adminKey,
      raw: 'name=x',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expectProblem(form, 400, 'INVALID_INPUT');
    expect(form.body['detail']).toContain('application/json');
    expectProblem(await admin('POST', '/zones', { name: 'x'.repeat(300_000) }), 400, 'INVALID_INPUT');
    expectProblem(await rest.call('POST', '/api/v1/zones', { key: the.adminKey, raw: '[]' }), 400, 'INVALID_INPUT');
    expectProblem(await admin('POST', '/zones'), 400, 'INVALID_INPUT');
  });

  test('an id that is no id is refused, an unknown one is not found, each named', async () => {
    const bad = await admin('GET', '/vms/not-an-id');
    expectProblem(bad, 400, 'INVALID_INPUT');
    expect(bad.body['issues']).toEqual([{ path: 'id', message: 'Invalid UUID' }]);
    for (const path of ['/zones', '/hosts', '/vms', '/backups', '/operations', '/secondary-storages', '/backup-offerings']) {
      const answer = await admin('GET', `${path}/${UNKNOWN}`);
      expectProblem(answer, 404, 'NOT_FOUND');
      expect(answer.body['detail']).toContain(UNKNOWN);
    }
    expectProblem(await admin('GET', '/settings/no.such.setting'), 404, 'NOT_FOUND');
    expectProblem(await admin('GET', `/zones/${UNKNOWN}/settings`), 404, 'NOT_FOUND');
    expectProblem(await admin('DELETE', `/vms/${the.mine}/superseded-files/${UNKNOWN}`), 404, 'NOT_FOUND');
  });

  test('a route that does not exist is a problem that says where they are listed', async () => {
    const answer = await admin('GET', '/nonsense');
    expectProblem(answer, 404, 'NOT_FOUND');
    expect(answer.body['detail']).toContain('/api/docs');
    expectProblem(await rest.call('GET', '/'), 404, 'NOT_FOUND');
  });

  test.each([
    ['quotes', `o'"Neil"`],
    ['shell characters', '$(reboot); `id` | & > /etc/passwd'],
    ['SQL', `'); DROP TABLE zone; --`],
    ['other scripts', 'Zürich 東京 🗄️'],
    ['markup', '<script>alert(1)</script>'],
    ['a path', '../../etc'],
  ])('a name with %s is kept exactly', async (_what, name) => {
    const made = await admin('POST', '/zones', { name });
    expect([made.status, made.body['name']]).toEqual([201, name]);
    expect((await admin('GET', `/zones/${made.body['id'] as string}`)).body['name']).toBe(name);
    expect((await admin('DELETE', `/zones/${made.body['id'] as string}`)).status).toBe(204);
  });

  test.each([
    ['a newline', 'a\nb'],
    ['an escape', 'a\u001b[31m'],
    ['a NUL', 'a\u0000b'],
    ['nothing but spaces', '   '],
    ['256 characters', 'x'.repeat(256)],
  ])('a name with %s is refused with its field', async (_what, name) => {
    const answer = await admin('POST', '/zones', { name });
    expectProblem(answer, 400, 'INVALID_INPUT');
    expect(answer.body['issues']).toEqual([{ path: 'name', message: expect.any(String) }]);
  });

  test('pages end, and a cursor that is none is refused', async () => {
    for (const name of ['p1', 'p2', 'p3']) await admin('POST', '/accounts', { name });
    const seen: unknown[] = [];
    let after = '';
    do {
      const page = await admin('GET', `/accounts?limit=2${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`);
      seen.push(...(page.body['items'] as unknown[]));
      after = (page.body['next'] as string | undefined) ?? '';
    } while (after !== '');
    expect(seen.length).toBe(new Set(seen.map((one) => (one as { id: string }).id)).size);
    expect(seen.length).toBeGreaterThanOrEqual(5);
    expectProblem(await admin('GET', '/accounts?after=nonsense'), 400, 'INVALID_INPUT');
    expectProblem(await admin('GET', '/accounts?limit=0'), 400, 'INVALID_INPUT');
  });
});

describe('what does not fit the state of things', () => {
  test('a name that is taken', async () => {
    const answer = await admin('POST', '/zones', { name: 'berlin' });
    expectProblem(answer, 409, 'NAME_TAKEN');
    expect(answer.body['detail']).toContain('"berlin"');
    expectProblem(await admin('POST', '/backup-offerings', { name: 'gold' }), 409, 'NAME_TAKEN');
    expectProblem(await admin('POST', '/accounts', { name: 'shop' }), 409, 'NAME_TAKEN');
  });

  test('a host is renamed; a name that is none is refused', async () => {
    const renamed = await admin('PATCH', `/hosts/${the.hostId}`, { name: ' kvm-2 ' });
    expect(renamed).toMatchObject({ status: 200, body: { id: the.hostId, name: 'kvm-2', address: '127.0.0.1:1' } });
    expectProblem(await admin('PATCH', `/hosts/${the.hostId}`, { name: ' ' }), 400, 'INVALID_INPUT');
    expectProblem(await user('PATCH', `/hosts/${the.hostId}`, { name: 'mine' }), 403, 'FORBIDDEN');
    await admin('PATCH', `/hosts/${the.hostId}`, { name: 'kvm-1' });
  });

  test('an offering that VMs have, a zone that has hosts', async () => {
    expectProblem(await admin('DELETE', `/backup-offerings/${the.offeringId}`), 409, 'IN_USE');
    expectProblem(await admin('DELETE', `/zones/${the.zoneId}`), 409, 'IN_USE');
  });

  test('a restore of a running VM, and a backup of a VM whose host is down', async () => {
    expectProblem(await user('POST', `/backups/${the.myBackup}/actions/restore`, {}), 409, 'VM_RUNNING');
    const down = await user('POST', `/vms/${the.mine}/backups`, {});
    expectProblem(down, 503, 'HOST_UNAVAILABLE');
    expect([down.body['retryable'], down.headers.get('retry-after')]).toEqual([true, '5']);
    expect(down.body['detail']).toContain('kvm-1');
  });

  test.each([
    ['source', 'h:/a\nb'],
    ['source', 'h:/a\0b'],
    ['options', 'ro\nrw'],
    ['options', 'ro\0'],
  ])('a storage whose %s is %j is refused before anybody is asked', async (path, text) => {
    const wish = { zoneId: the.zoneId, name: 'new', type: 'nfs4', source: 'h:/a', options: '', [path]: text };
    const answer = await admin('POST', '/secondary-storages', wish);
    expectProblem(answer, 400, 'INVALID_INPUT');
    expect(answer.body['issues']).toEqual([{ path, message: expect.stringMatching(/must not contain a (line end|NUL)/) }]);
  });

  test('a storage of a zone where no host is up', async () => {
    const answer = await admin('POST', '/secondary-storages', {
      zoneId: the.zoneId,
      name: 'new',
      type: 'dir',
      source: '/mnt/new',
    });
    expectProblem(answer, 503, 'HOST_UNAVAILABLE');
  });

  test('a check and a cleaning: no host is up, no such storage, nothing named, not the administrator', async () => {
    const of = (id: string, action: string): string => `/secondary-storages/${id}/actions/${action}`;
    expectProblem(await admin('POST', of(the.storageId, 'check'), {}), 503, 'HOST_UNAVAILABLE');
    expectProblem(await admin('POST', of(the.storageId, 'clean'), { findings: ['a'] }), 503, 'HOST_UNAVAILABLE');
    expectProblem(await admin('POST', of(the.zoneId, 'check'), {}), 404, 'NOT_FOUND');
    expectProblem(await admin('POST', of(the.storageId, 'clean'), { findings: [] }), 400, 'INVALID_INPUT');
    expectProblem(await user('POST', of(the.storageId, 'check'), {}), 403, 'FORBIDDEN');
    expectProblem(await user('POST', of(the.storageId, 'clean'), { findings: ['a'] }), 403, 'FORBIDDEN');
  });

  test('a setting whose value is wrong', async () => {
    expectProblem(await admin('PUT', '/settings/backup.chain.size', { value: 'many' }), 400, 'INVALID_INPUT');
    expect((await admin('PUT', `/zones/${the.zoneId}/settings/backup.chain.size`, { value: '5' })).body).toMatchObject({
      value: '5',
      scope: 'zone',
    });
    expect((await admin('PUT', `/zones/${the.zoneId}/settings/backup.chain.size`, { value: null })).body).toMatchObject({
      value: '8',
      scope: 'default',
    });
  });
});

describe('joining', () => {
  const join = (token: string): Promise<RestAnswer> =>
    rest.call('POST', '/api/v1/host-joins', {
      body: { token, name: 'kvm-9', address: '10.0.0.9:8445', certificateRequestPem: 'not a request' },
    });

  test('a wrong token, an expired one, and a request that is none', async () => {
    expectProblem(await join('hfj1.wrong.x'), 401, 'TOKEN_INVALID');
    const made = await admin('POST', '/hosts/join-tokens', { zoneId: the.zoneId });
    expect(made.status).toBe(201);
    expectProblem(await join(made.body['token'] as string), 400, 'INVALID_INPUT');
    await app.get(DataSource).query(`UPDATE join_token SET expires_at = now() - interval '1 second'`);
    expectProblem(await join(made.body['token'] as string), 401, 'TOKEN_EXPIRED');
  });
});

test('work that is started answers 202 with the operation and where it is', async () => {
  const started = await user('POST', `/vms/${the.mine}/actions/finish-backup-chain`, { dryRun: true });
  expect(started.status).toBe(202);
  const path = `/api/v1/operations/${started.body['id'] as string}`;
  expect(started.headers.get('location')).toBe(path);
  expect((await rest.call('GET', path, { key: the.userKey })).body).toMatchObject({
    id: started.body['id'],
    state: 'Queued',
    kind: 'CleanupBackupError',
  });
});

async function accountId(): Promise<unknown> {
  const { body } = await admin('GET', '/accounts');
  return (body['items'] as { id: string }[])[0]?.id;
}
