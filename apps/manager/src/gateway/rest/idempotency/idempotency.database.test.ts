/** Idempotency-Key on a real PostgreSQL: acts once, answers again, never mixes callers or requests. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ZonesService } from '../../../inventory/zones.service.js';
import { waitFor } from '../../../testing/wait-for.js';
import type { Fixtures } from '../../testing/fixtures.js';
import type { RestAnswer, RestClient } from '../../testing/rest-client.js';
import { RestDoor } from '../../testing/rest-door.js';
import { IdempotencyRecords } from './idempotency-records.js';

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

const post = (path: string, body: unknown, idempotencyKey: string, key = the.adminKey): Promise<RestAnswer> =>
  rest.call('POST', `/api/v1${path}`, { key, body, headers: { 'idempotency-key': idempotencyKey } });
const zonesNamed = async (name: string): Promise<unknown[]> =>
  app.get(DataSource).query('SELECT id FROM zone WHERE name = $1', [name]);

describe('the same Idempotency-Key', () => {
  test('with the same request answers as the first time and acts once', async () => {
    const key = randomUUID();
    const first = await post('/zones', { name: 'once' }, key);
    const second = await post('/zones', { name: 'once' }, key);
    expect([second.status, second.text]).toEqual([201, first.text]);
    expect(await zonesNamed('once')).toHaveLength(1);
  });

  test('repeats the status and the Location of started work', async () => {
    const key = randomUUID();
    const path = `/vms/${the.mine}/actions/finish-backup-chain`;
    const [first, second] = [await post(path, { dryRun: true }, key), await post(path, { dryRun: true }, key)];
    expect([second.status, second.headers.get('location'), second.body['id']]).toEqual([
      202,
      first.headers.get('location'),
      first.body['id'],
    ]);
  });

  test('with another body or another path is refused', async () => {
    const key = randomUUID();
    await post('/zones', { name: 'one' }, key);
    const other = await post('/zones', { name: 'two' }, key);
    expect([other.status, other.body['code']]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    expect((await post('/accounts', { name: 'one' }, key)).body['code']).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(await zonesNamed('two')).toEqual([]);
  });

  test('of ten requests at once acts once and answers all alike', async () => {
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 10 }, () => post('/zones', { name: 'crowd' }, key)));
    expect(new Set(answers.map((one) => `${one.status} ${one.text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(201);
    expect(await zonesNamed('crowd')).toHaveLength(1);
  });

  test('of another caller is another key', async () => {
    const key = randomUUID();
    const path = `/vms/${the.mine}/actions/finish-backup-chain`;
    const [admins, users] = [await post(path, { dryRun: true }, key), await post(path, { dryRun: true }, key, the.userKey)];
    expect([admins.status, users.status]).toEqual([202, 202]);
    expect(users.body['id']).not.toBe(admins.body['id']);
  });

  test('is free again after a request that failed', async () => {
    const key = randomUUID();
    expect((await post('/zones', { name: 'berlin' }, key)).status).toBe(409);
    expect((await post('/zones', { name: 'free-again' }, key)).status).toBe(201);
  });

  test('does not let a caller without the permission see an answer', async () => {
    const key = randomUUID();
    await post('/zones', { name: 'hidden' }, key);
    expect((await post('/zones', { name: 'hidden' }, key, the.userKey)).status).toBe(403);
  });

  test('is refused when it is too long', async () => {
    const answer = await post('/zones', { name: 'long' }, 'k'.repeat(256));
    expect([answer.status, answer.body['issues']]).toEqual([
      400,
      [{ path: 'Idempotency-Key', message: 'it has 1 to 255 characters' }],
    ]);
  });

  test('whose first request takes longer than a claim lasts is not taken for left: the repetition has its answer', async () => {
    const key = randomUUID();
    const [records, zones] = [app.get(IdempotencyRecords), app.get(ZonesService)];
    const [keep, create] = [records.keep.bind(records), zones.create.bind(zones)];
    let goOn: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    records.keep = (claimed) => keep(claimed, 20);
    zones.create = async (...given) => {
      await held;
      return create(...given);
    };
    const query = (sql: string): Promise<{ alive: boolean }[]> => app.get(DataSource).query(sql);
    try {
      const first = post('/zones', { name: 'slow' }, key);
      await waitFor('the claim', async () => (await query(`SELECT FROM idempotency_record WHERE answer IS NULL`))[0]);
      await query(`UPDATE idempotency_record SET running_until = now() - interval '1 second' WHERE answer IS NULL`);
      await waitFor('its renewal', async () => {
        const [row] = await query(`SELECT running_until > now() AS alive FROM idempotency_record WHERE answer IS NULL`);
        return row?.alive === true ? row : undefined;
      });
      const second = post('/zones', { name: 'slow' }, key);
      goOn();
      const answers = await Promise.all([first, second]);
      expect(answers.map(({ status }) => status)).toEqual([201, 201]);
      expect(answers[1]?.text).toBe(answers[0]?.text);
    } finally {
      goOn();
      Object.assign(records, { keep });
      Object.assign(zones, { create });
    }
  });

  test('whose first request was left by a manager that died says so, instead of acting again', async () => {
    const key = randomUUID();
    await post('/zones', { name: 'left' }, key);
    await app
      .get(DataSource)
      .query(`UPDATE idempotency_record SET answer = NULL, running_until = now() - interval '1 second' WHERE answer IS NOT NULL`);
    const again = await post('/zones', { name: 'left' }, key);
    expect([again.status, again.body['code']]).toEqual([409, 'WRONG_STATE']);
    expect(again.body['detail']).toContain('new key');
  });
});

test('a secret that is shown once is repeated to its caller, and cannot be read from the database', async () => {
  const key = randomUUID();
  const body = { zoneId: the.zoneId };
  const first = await post('/hosts/join-tokens', body, key);
  expect((await post('/hosts/join-tokens', body, key)).body['token']).toBe(first.body['token']);
  const rows: unknown = await app
    .get(DataSource)
    .query(`SELECT key_hash, request_hash, encode(answer, 'escape') AS text FROM idempotency_record WHERE answer IS NOT NULL`);
  const secret = String(first.body['token']).split('.')[1] ?? '';
  expect(secret.length).toBeGreaterThan(20);
  expect(JSON.stringify(rows)).not.toContain(secret);
});
