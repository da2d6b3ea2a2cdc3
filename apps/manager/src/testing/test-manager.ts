/** A whole manager without its doors, on a database of a test, and hosts in memory that join it as real ones do. */
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Caller } from '../access/caller.js';
import { AccountsService } from '../accounts/accounts.service.js';
import { AppModule } from '../app.module.js';
import { managerConfigSchema } from '../config/manager-config.js';
import { JoinService } from '../inventory/join.service.js';
import { ZonesService } from '../inventory/zones.service.js';
import { isFinished } from '../operations/operation-view.js';
import { OperationsService } from '../operations/operations.service.js';
import type { OpenDatabase } from '../persistence/database/database.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { newRequest } from './certificate-request.js';
import { FakeAgent } from './fake-agent.js';
import { waitFor } from './wait-for.js';

export class TestManager {
  private constructor(
    readonly app: INestApplicationContext,
    readonly database: OpenDatabase,
    readonly admin: Caller,
  ) {}

  /** `folder` holds the certificate authority: managers of one database share it. */
  static async start(
    database: OpenDatabase,
    folder: string,
    options: { leaseSeconds?: number; lostCertificateAuthority?: string } = {},
  ): Promise<TestManager> {
    process.env['HOLDFAST_LOG_LEVEL'] ??= 'silent';
    const config = managerConfigSchema.parse({
      dataDir: folder,
      heartbeatSeconds: 0.2,
      leaseSeconds: options.leaseSeconds ?? 30,
      lostCertificateAuthority: options.lostCertificateAuthority,
    });
    const app = await NestFactory.createApplicationContext(AppModule.of(config, database, { doors: false }), {
      logger: false,
      abortOnError: false,
    });
    await app.get(AccountsService).createFirstKey();
    const [key] = await database.dataSource.query<{ id: string; account_id: string }[]>(
      `SELECT id, account_id FROM api_key WHERE role = 'admin' LIMIT 1`,
    );
    const admin = { role: 'admin', accountId: key?.account_id, apiKeyId: key?.id } as unknown as Caller;
    return new TestManager(app, database, admin);
  }

  get<T>(service: new (...args: never[]) => T): T {
    return this.app.get<T>(service as never);
  }

  async stop(): Promise<void> {
    await this.app.close();
    await this.database.close();
  }

  /** A user of a new account with this name. */
  async newUser(name: string): Promise<Caller> {
    const accounts = this.get(AccountsService);
    const account = await accounts.createAccount(this.admin, { name });
    const key = await accounts.createApiKey(this.admin, { name, role: 'user', accountId: account.id });
    return accounts.authenticate(key.secret);
  }

  async newZone(name = `zone ${randomUUID()}`): Promise<string> {
    return (await this.get(ZonesService).create(this.admin, { name })).id;
  }

  /** A host in memory that has joined and is seen up. */
  async newHost(zoneId: string, name = `host-${randomUUID()}`): Promise<FakeAgent> {
    const nobody = { hostId: '', keyPem: '', certificatePem: '', caCertificatePem: '' };
    const agent = new FakeAgent(nobody);
    agent.port = await freePort();
    const { token } = await this.get(JoinService).createToken(this.admin, { zoneId: zoneId as never, validSeconds: 60 });
    const { keyPem, requestPem } = await newRequest();
    const joined = await this.get(JoinService).join({
      token,
      name,
      address: `127.0.0.1:${agent.port}`,
      certificateRequestPem: requestPem,
    });
    agent.become({
      hostId: joined.hostId,
      keyPem,
      certificatePem: joined.certificatePem,
      caCertificatePem: joined.caCertificatePem,
    });
    await agent.start();
    await this.hostState(joined.hostId, 'Up');
    return agent;
  }

  async hostState(hostId: string, state: HostEntity['state']): Promise<HostEntity> {
    return waitFor(
      `host ${state}`,
      async () => (await this.database.dataSource.manager.findOneBy(HostEntity, { id: hostId, state })) ?? undefined,
    );
  }

  /** The operation when it is finished. */
  async finished(operationId: string): Promise<Operation> {
    for await (const operation of this.get(OperationsService).watch(this.admin, operationId, AbortSignal.timeout(60_000))) {
      if (isFinished(operation.state)) return operation;
    }
    throw new Error(`operation ${operationId} did not finish`);
  }
}

/** Data folder of a manager under a cluster's folder. */
export function managerFolder(clusterFolder: string): string {
  return join(clusterFolder, `manager-${randomUUID().slice(0, 8)}`);
}

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
