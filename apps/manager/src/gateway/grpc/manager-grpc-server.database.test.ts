/** Both doors over TLS with real services and a real PostgreSQL: gRPC says what REST says, with the same permissions. */
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { INestApplication } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ERROR_METADATA_KEY, fromWireError } from '@holdfast/shared/wire/grpc-error.js';
import { Quiesce } from '@holdfast/shared/wire/generated/holdfast/manager/v1/backup.js';
import { VmPowerState } from '@holdfast/shared/wire/generated/holdfast/manager/v1/inventory.js';
import {
  ManagerClient,
  ManagerService,
  type WatchOperationResponse,
} from '@holdfast/shared/wire/generated/holdfast/manager/v1/manager.js';
import { OperationState } from '@holdfast/shared/wire/generated/holdfast/manager/v1/operation.js';
import { CertificateAuthority } from '../../certificates/certificate-authority.js';
import { OPERATION_CHANNEL } from '../../operations/operation-queue.js';
import { startDoors, type Doors } from '../start-doors.js';
import { makeFixtures, type Fixtures } from '../testing/fixtures.js';
import { gatewayApp } from '../testing/gateway-app.js';
import { openTestDatabase, type TestDatabase } from '../testing/test-database.js';
import type { MethodName, RequestOf, ResponseOf } from './method.js';

const UNKNOWN = '00000000-0000-4000-8000-00000000dead';

let database: TestDatabase;
let app: INestApplication;
let doors: Doors;
let client: ManagerClient;
let ca: string;
let the: Fixtures;

beforeAll(async () => {
  database = await openTestDatabase();
  app = await gatewayApp(database);
  doors = await startDoors(app);
  ca = app.get(CertificateAuthority).certificatePem;
  client = new ManagerClient(`127.0.0.1:${doors.grpcPort}`, credentials.createSsl(Buffer.from(ca)));
  the = await makeFixtures(app);
});
afterAll(async () => {
  client?.close();
  await doors?.close();
  await app?.close();
  await database?.remove();
});

function keyOf(key: string | undefined): Metadata {
  const metadata = new Metadata();
  if (key !== undefined) metadata.set('authorization', `Bearer ${key}`);
  return metadata;
}

function call<M extends MethodName>(method: M, request: RequestOf<M>, key: string | undefined): Promise<ResponseOf<M>> {
  return new Promise((resolve, reject) => {
    const unary = client[method].bind(client) as unknown as (...values: unknown[]) => void;
    unary(request, keyOf(key), (error: ServiceError | null, answer: ResponseOf<M>) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
}

/** Status number, and our code and sentence from the trailer. */
async function refusal(
  answer: Promise<unknown>,
): Promise<{ status: number; code: string | undefined; message: string | undefined }> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown as ServiceError,
  );
  const [bytes] = error?.metadata.get(ERROR_METADATA_KEY) ?? [];
  const ours = Buffer.isBuffer(bytes) ? fromWireError(bytes) : undefined;
  return { status: error?.code ?? 0, code: ours?.code, message: ours?.message };
}

describe('gRPC', () => {
  test('wants a key for every method and says so in its own code', async () => {
    for (const [name, method] of Object.entries(ManagerService)) {
      if (method.responseStream) continue;
      const request = (method.requestDeserialize as (bytes: Buffer) => unknown)(Buffer.alloc(0));
      const refused = await refusal(call(name as MethodName, request as never, undefined));
      expect([name, refused.status, refused.code]).toEqual([name, status.UNAUTHENTICATED, 'UNAUTHENTICATED']);
    }
    const stream = client.watchOperation({ operationId: UNKNOWN });
    const failed = new Promise((_resolve, reject) => stream.on('error', reject));
    stream.on('data', () => undefined);
    expect((await refusal(failed)).code).toBe('UNAUTHENTICATED');
  });

  test('has the permissions of REST', async () => {
    expect(await refusal(call('listHosts', {}, the.userKey))).toMatchObject({
      status: status.PERMISSION_DENIED,
      code: 'FORBIDDEN',
    });
    expect(await refusal(call('createZone', { name: 'x' }, the.userKey))).toMatchObject({ code: 'FORBIDDEN' });
    const mine = await call('listVms', {}, the.userKey);
    expect(mine.vms.map((vm) => [vm.id, vm.powerState])).toEqual([[the.mine, VmPowerState.VM_POWER_STATE_RUNNING]]);
    expect(await refusal(call('getVm', { vmId: the.others }, the.userKey))).toMatchObject({
      status: status.NOT_FOUND,
      code: 'NOT_FOUND',
    });
  });

  test('refuses wrong input with the field named', async () => {
    const missing = await refusal(call('getVm', { vmId: '' }, the.adminKey));
    expect([missing.status, missing.message]).toEqual([status.INVALID_ARGUMENT, expect.stringContaining('vm_id: it is missing')]);
    expect((await refusal(call('getVm', { vmId: 'x' }, the.adminKey))).message).toContain('vm_id: it is not a UUID');
    expect((await refusal(call('createZone', { name: 'a\nb' }, the.adminKey))).message).toContain(
      'name: a name must not contain control characters',
    );
    expect(await refusal(call('createZone', { name: 'berlin' }, the.adminKey))).toMatchObject({
      status: status.ALREADY_EXISTS,
      code: 'NAME_TAKEN',
    });
    expect(await refusal(call('listVms', { page: { limit: 0, after: 'nonsense' } }, the.adminKey))).toMatchObject({
      code: 'INVALID_INPUT',
    });
  });

  test('describes itself by reflection', async () => {
    const plain = new Client(`127.0.0.1:${doors.grpcPort}`, credentials.createSsl(Buffer.from(ca)));
    const asIs = (bytes: Buffer): Buffer => bytes;
    const stream = plain.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      asIs,
      asIs,
      keyOf(the.userKey),
    );
    // ServerReflectionRequest { list_services: "*" }
    stream.write(Buffer.from([0x3a, 1, 0x2a]));
    const answer = await new Promise<Buffer>((resolve, reject) => {
      stream.once('data', resolve);
      stream.once('error', reject);
    });
    stream.end();
    plain.close();
    expect(answer.toString('latin1')).toContain('holdfast.manager.v1.Manager');
  });

  test('makes, lists, reads and deletes', async () => {
    const { zone } = await call('createZone', { name: `o'Brien "$(x)"` }, the.adminKey);
    expect(zone).toMatchObject({ name: `o'Brien "$(x)"`, createdAt: expect.any(Date) });
    expect((await call('listZones', {}, the.adminKey)).zones.map((one) => one.id)).toContain(zone?.id);
    await call('deleteZone', { zoneId: zone?.id ?? '' }, the.adminKey);
    expect(await refusal(call('getZone', { zoneId: zone?.id ?? '' }, the.adminKey))).toMatchObject({ code: 'NOT_FOUND' });

    const { offering } = await call('createBackupOffering', { name: 'silver', description: 'd', chainSize: 0 }, the.adminKey);
    expect(offering).toMatchObject({ name: 'silver', description: 'd', chainSize: 0 });
    const { setting } = await call('updateSetting', { name: 'backup.chain.size', value: '4', zoneId: the.zoneId }, the.adminKey);
    expect(setting).toMatchObject({ value: '4', scope: 'zone' });
    expect((await call('updateSetting', { name: 'backup.chain.size', zoneId: the.zoneId }, the.adminKey)).setting?.scope).toBe(
      'default',
    );
    const { host } = await call('getHost', { hostId: the.hostId }, the.adminKey);
    expect(host).toMatchObject({ name: 'kvm-1', stateReason: 'it does not answer' });
    const renamed = await call('updateHost', { hostId: the.hostId, name: 'kvm "2"' }, the.adminKey);
    expect(renamed.host).toMatchObject({ id: the.hostId, name: 'kvm "2"', address: '127.0.0.1:1', enabled: true });
    await call('updateHost', { hostId: the.hostId, name: 'kvm-1' }, the.adminKey);
    const { backup } = await call('getBackup', { backupId: the.myBackup }, the.userKey);
    expect(backup).toMatchObject({ id: the.myBackup, vmId: the.mine, parentId: undefined });
  });

  test('pages', async () => {
    for (const name of ['g1', 'g2', 'g3']) await call('createAccount', { name }, the.adminKey);
    const first = await call('listAccounts', { page: { limit: 2, after: '' } }, the.adminKey);
    expect([first.accounts.length, first.next]).toEqual([2, expect.stringMatching(/./)]);
    const second = await call('listAccounts', { page: { limit: 1000, after: first.next } }, the.adminKey);
    expect([second.accounts.length >= 3, second.next]).toEqual([true, '']);
  });

  test('says of a host that is down and of a running VM what REST says', async () => {
    const request = { vmId: the.mine, description: '', isolated: false, quiesce: Quiesce.QUIESCE_UNSPECIFIED };
    expect(await refusal(call('createBackup', request, the.userKey))).toMatchObject({
      status: status.UNAVAILABLE,
      code: 'HOST_UNAVAILABLE',
    });
    const restore = { backupId: the.myBackup, acceptDamaged: false, dropSnapshots: false };
    expect(await refusal(call('restoreBackup', restore, the.userKey))).toMatchObject({
      status: status.FAILED_PRECONDITION,
      code: 'VM_RUNNING',
    });
  });

  test('streams an operation to its end', async () => {
    const { operation } = await call('finishBackupChain', { vmId: the.mine, dryRun: true }, the.userKey);
    const id = operation?.id ?? '';
    const seen: OperationState[] = [];
    const stream = client.watchOperation({ operationId: id }, keyOf(the.userKey));
    const ended = new Promise<void>((resolve, reject) => stream.on('end', resolve).on('error', reject));
    stream.on('data', (message: WatchOperationResponse) => seen.push(message.operation?.state ?? OperationState.UNRECOGNIZED));
    while (seen.length === 0) await sleep(10);
    await app
      .get(DataSource)
      .query(`UPDATE operation SET state = 'Succeeded', revision = revision + 1, finished_at = now() WHERE id = $1`, [id]);
    await app.get(DataSource).query('SELECT pg_notify($1, $2)', [OPERATION_CHANNEL, id]);
    await ended;
    expect([seen[0], seen.at(-1)]).toEqual([OperationState.OPERATION_STATE_QUEUED, OperationState.OPERATION_STATE_SUCCEEDED]);
  });

  test('a stream of an operation of another account is not found', async () => {
    const { operation } = await call('finishBackupChain', { vmId: the.others, dryRun: true }, the.adminKey);
    const stream = client.watchOperation({ operationId: operation?.id ?? '' }, keyOf(the.userKey));
    const failed = new Promise((_resolve, reject) => stream.on('error', reject));
    stream.on('data', () => undefined);
    expect(await refusal(failed)).toMatchObject({ status: status.NOT_FOUND, code: 'NOT_FOUND' });
  });

  test('tells its health without a key', async () => {
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const bytes = (value: Buffer): Buffer => value;
      (client as unknown as Client).makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        bytes,
        bytes,
        Buffer.alloc(0),
        (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error ?? new Error('no answer'))),
      );
    });
    // HealthCheckResponse { status: SERVING = 1 }
    expect([...answer]).toEqual([8, 1]);
  });
});

describe('the REST door over TLS', () => {
  const get = (path: string, options: https.RequestOptions): Promise<{ status: number | undefined; issuers: number }> =>
    new Promise((resolve, reject) => {
      const request = https.get({ host: '127.0.0.1', port: doors.restPort, path, ...options }, (response) => {
        response.resume();
        const socket = response.socket as import('node:tls').TLSSocket;
        const leaf = socket.getPeerCertificate(true);
        resolve({ status: response.statusCode, issuers: leaf.issuerCertificate === undefined ? 0 : 1 });
      });
      request.on('error', reject);
    });

  test('is trusted with the CA alone, by address and by name, and presents the CA as well', async () => {
    expect(await get('/healthz', { ca })).toEqual({ status: 200, issuers: 1 });
    expect(await get('/healthz', { ca, servername: 'localhost' })).toMatchObject({ status: 200 });
  });

  test('is not trusted without it', async () => {
    await expect(get('/healthz', {})).rejects.toMatchObject({ code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO/) });
  });
});
