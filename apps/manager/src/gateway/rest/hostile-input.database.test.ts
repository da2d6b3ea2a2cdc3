/** Input that the database could not take: refused at the door with its field, never an error of the manager. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Fixtures } from '../testing/fixtures.js';
import type { RestAnswer, RestClient } from '../testing/rest-client.js';
import { RestDoor } from '../testing/rest-door.js';

let door: RestDoor;
let rest: RestClient;
let the: Fixtures;

beforeAll(async () => {
  door = await RestDoor.open();
  ({ rest, the } = door);
});
afterAll(async () => {
  await door?.close();
});

const admin = (method: string, path: string, body?: unknown): Promise<RestAnswer> =>
  rest.call(method, `/api/v1${path}`, { key: the.adminKey, ...(body === undefined ? {} : { body }) });
const cursor = (key: string): string => Buffer.from(`k:${key}`, 'utf8').toString('base64url');
const accountId = async (): Promise<unknown> => {
  const { body } = await admin('GET', '/accounts');
  return (body['items'] as { id: string }[])[0]?.id;
};

describe.each([
  ['a NUL', 'a\u0000b'],
  ['half a character', 'a\ud800b'],
  ['too many characters', 'x'.repeat(5000)],
])('%s', (_what, text) => {
  test.each([
    ['description', 'POST', '/vms/{vm}/backups', { description: text }],
    ['description', 'POST', '/backup-offerings', { name: 'o', description: text }],
    ['description', 'PATCH', '/backups/{backup}', { description: text }],
    ['description', 'POST', '/vms/{vm}/snapshots', { description: text }],
    ['volumes.0', 'POST', '/vms/{vm}/snapshots', { volumes: [text] }],
    ['settings.a', 'PATCH', '/vms/{vm}', { settings: { a: text } }],
    ['settings', 'PATCH', '/vms/{vm}', { settings: { [text]: 'a' } }],
    ['source', 'POST', '/secondary-storages', { source: text }],
    ['options', 'POST', '/secondary-storages', { options: text }],
    ['value', 'PUT', '/settings/backup.chain.size', { value: text }],
    ['name', 'POST', '/zones', { name: text }],
    ['address', 'PATCH', '/hosts/{host}', { address: text }],
    ['when', 'POST', '/vms/{vm}/backup-schedules', { when: text }],
    ['timeZone', 'POST', '/vms/{vm}/backup-schedules', { timeZone: text }],
  ])('in %s of %s %s is refused', async (field, method, path, body) => {
    const answer = await admin(
      method,
      path.replace('{vm}', the.mine).replace('{backup}', the.myBackup).replace('{host}', the.hostId),
      body,
    );
    expect([answer.status, answer.body['code']]).toEqual([400, 'INVALID_INPUT']);
    const issues = (answer.body['issues'] ?? []) as { path: string }[];
    expect(issues.filter((issue) => issue.path.startsWith(field))).not.toEqual([]);
  });
});

test('a NUL in a query is refused with its field', async () => {
  const answer = await admin('GET', '/vms?name=a%00b');
  expect([answer.status, answer.body['issues']]).toEqual([400, [{ path: 'name', message: expect.stringContaining('NUL') }]]);
});

describe('a cursor that is of another list', () => {
  test.each(['/vms', '/secondary-storages', '/api-keys', '/backup-schedules', '/backups', '/operations'])('%s', async (path) => {
    const answer = await admin('GET', `${path}?after=${cursor('berlin')}`);
    expect([answer.status, answer.body['code'], answer.body['fields']]).toEqual([
      400,
      'INVALID_INPUT',
      { after: cursor('berlin') },
    ]);
  });

  test.each(['/zones', '/hosts', '/accounts', '/backup-offerings', '/vms', '/api-keys'])('with a NUL: %s', async (path) => {
    const answer = await admin('GET', `${path}?after=${cursor('a\u0000')}`);
    expect([answer.status, answer.body['code']]).toEqual([400, 'INVALID_INPUT']);
  });
});

test.each([
  ['validSeconds', '/api-keys', { name: 'k', role: 'user', validSeconds: 1e15 }],
  ['chainSize', '/backup-offerings', { name: 'o', chainSize: -(2 ** 40) }],
  ['chainSize', '/backup-offerings', { name: 'o', chainSize: 2 ** 40 }],
])('%s out of all bounds is refused with its field: %s', async (field, path, body) => {
  const whose = path === '/api-keys' ? { accountId: await accountId() } : {};
  const answer = await admin('POST', path, { ...body, ...whose });
  expect([answer.status, answer.body['issues']]).toEqual([400, [{ path: field, message: expect.any(String) }]]);
});
