import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { ERROR_METADATA_KEY, fromWireError } from '@holdfast/shared/wire/grpc-error.js';
import {
  HostAgentClient,
  ReleaseFilesRequest,
  type ReleaseFilesResponse,
  type WatchDomainsResponse,
  type WatchOperationResponse,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationKind, OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { MANAGER_IDENTITY } from '@holdfast/shared/wire/protocol.js';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { TestAuthority, type TestPair } from '../certificates/test-authority.js';
import { systemClock } from '../clock/clock.js';
import type { ReleaseFilesRequest as Release, ReleaseFilesResult } from '../commands/requests.js';
import { bigintJson } from '../commands/shared/bigint-json.js';
import { silentLog } from '../logging/silent-log.js';
import type { Command } from '../operations/command.js';
import { FencingTokens } from '../operations/fencing.js';
import { JournalStore } from '../operations/journal.js';
import { noBreakpoints } from '../operations/no-breakpoints.js';
import { OperationRunner } from '../operations/runner.js';
import type { VmElsewhere } from '../start-guard/guard-elsewhere.js';
import { AgentServer } from './grpc-server.js';
import { hostAgentService } from './host-agent-service.js';
import { HostInfo } from './host-info.js';
import type { ResultCodecs } from './wire-operation.js';

const HOST_ID = '00000000-0000-4000-8000-00000000aaaa';
const VM = '11111111-1111-4111-8111-111111111111';
let number = 0;
const nextRequest = (paths = ['/pool/old']): ReleaseFilesRequest => {
  number += 1;
  const operationId = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  return ReleaseFilesRequest.fromPartial({ header: { operationId, vmUuid: VM, vmName: 'vm', fencingToken: 1n }, paths });
};

/** A ReleaseFiles whose one step waits for `go`. */
function releaseCommand(go: () => Promise<void>): Command<Release, ReleaseFilesResult> {
  return {
    kind: 'ReleaseFiles',
    codec: bigintJson<Release>(),
    resultCodec: bigintJson<ReleaseFilesResult>(),
    async relieve() {},
    async run(request, context) {
      await context.step('release', 'vda', { paths: request.paths }, async () => {
        context.progress({ key: 'k', target: 'vda', phase: 'release', doneBytes: 1n, totalBytes: 2n });
        await go();
        if (context.signal.aborted) throw new HoldfastError('CANCELLED', 'stopped');
        return null;
      });
      return { result: { releasedBytes: 2n ** 60n }, vmOutcome: 'AsAfter' };
    },
    async undo() {
      return { vmOutcome: 'AsBefore' };
    },
  };
}

describe('the agent over mutual TLS', () => {
  let authority: TestAuthority;
  let stateDir: string;
  let runner: OperationRunner;
  let server: AgentServer;
  let manager: HostAgentClient;
  let go: () => Promise<void>;
  let clients: HostAgentClient[];
  let descriptorSet: Buffer;
  let told: VmElsewhere[];

  beforeAll(async () => {
    authority = await TestAuthority.create();
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-descriptors-'));
    await execa('node_modules/.bin/buf', ['build', '-o', join(dir, 'agent.binpb')]);
    descriptorSet = await readFile(join(dir, 'agent.binpb'));
    await rm(dir, { recursive: true });
  });

  beforeEach(async () => {
    told = [];
    clients = [];
    go = () => Promise.resolve();
    stateDir = await mkdtemp(join(tmpdir(), 'holdfast-server-'));
    const command = releaseCommand(() => go());
    runner = new OperationRunner({
      bootId: 'this boot',
      journals: new JournalStore(stateDir),
      fencing: new FencingTokens(stateDir),
      commands: { ReleaseFiles: command },
      maxConcurrentOperations: 3,
      log: silentLog,
      clock: systemClock,
      breakpoints: noBreakpoints,
      undoPatienceMs: 1_000,
      backoff: { firstMs: 1, mostMs: 5 },
    });
    await runner.recover();
    runner.resume();
    const hypervisor = {
      available: async () => true,
      versions: async () => ({ libvirt: '9.0.0', qemu: '7.2.22' }),
      observe: async () => undefined,
      observeAll: async () => [
        {
          uuid: VM,
          name: 'vm',
          state: 'running' as const,
          persistent: true,
          guestAgent: true,
          vcpus: 2,
          memoryBytes: 5n,
          nvramPath: undefined,
          disks: [],
          snapshots: [],
          problems: [],
        },
      ],
    };
    const hostInfo = new HostInfo({
      hostId: HOST_ID,
      agentVersion: '0.1.0',
      hypervisor,
      images: { version: async () => '7.2.22' },
      files: { space: () => new Promise(() => undefined) },
      primaryPools: ['/pool/that/hangs'],
      maxConcurrentOperations: 3,
      runningOperations: () => runner.runningCount,
      clock: systemClock,
    });
    const own = await authority.issue('CN=host', [{ type: 'dns', value: HOST_ID }]);
    server = await AgentServer.start({
      listen: '127.0.0.1:0',
      ...own,
      caCertificatePem: authority.certificatePem,
      descriptorSet,
      service: hostAgentService({
        runner,
        codecs: { ReleaseFiles: command } as unknown as ResultCodecs,
        hypervisor,
        survey: {} as never,
        strays: {} as never,
        guard: { elsewhere: async (vms) => void told.push(...vms) },
        storages: { inspect: () => Promise.reject(new HoldfastError('STORAGE_MISSING', 'Not there: "é".', { storageId: 's' })) },
        hostInfo,
        domainWatch: { pollMs: 3_600_000, clock: systemClock, log: silentLog },
        log: silentLog,
      }),
    });
    manager = client(await authority.issue('CN=manager', [{ type: 'url', value: MANAGER_IDENTITY }]));
  });
  afterEach(async () => {
    clients.forEach((one) => one.close());
    server.stop();
    await runner.stop();
    await rm(stateDir, { recursive: true, force: true });
  });

  function client(pair: TestPair | undefined, name = HOST_ID): HostAgentClient {
    const key = pair && Buffer.from(pair.keyPem);
    const certificate = pair && Buffer.from(pair.certificatePem);
    const tls = credentials.createSsl(Buffer.from(authority.certificatePem), key ?? null, certificate ?? null);
    const one = new HostAgentClient(`127.0.0.1:${server.port}`, tls, {
      'grpc.ssl_target_name_override': name,
      'grpc.default_authority': name,
    });
    clients.push(one);
    return one;
  }
  function call<R>(start: (done: (error: ServiceError | null, answer: R) => void) => unknown): Promise<R> {
    return new Promise((resolve, reject) => {
      start((error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
  }
  const release = (request: ReleaseFilesRequest): Promise<ReleaseFilesResponse> =>
    call((done) => manager.releaseFiles(request, done));
  const ownError = (error: ServiceError): HoldfastError | undefined =>
    fromWireError((error.metadata.get(ERROR_METADATA_KEY)[0] ?? Buffer.alloc(0)) as Buffer);
  const refused = (answer: Promise<unknown>): Promise<HoldfastError | undefined> =>
    answer.then(
      () => undefined,
      (error: ServiceError) => ownError(error),
    );

  it('tells the manager what the host is, even with a pool that hangs', async () => {
    expect(await call((done) => manager.getHostInfo({}, done))).toMatchObject({
      hostId: HOST_ID,
      protocolVersion: 1,
      libvirtVersion: '9.0.0',
      hypervisorAvailable: true,
      maxConcurrentOperations: 3,
      primaryPools: [{ path: '/pool/that/hangs', totalBytes: 0n }],
    });
  });

  it('refuses who is not the manager, with our own error, on every method', async () => {
    const host = client(await authority.issue('CN=other-host', [{ type: 'dns', value: 'other' }]));
    for (const answer of [
      call((done) => host.getHostInfo({}, done)),
      call((done) => host.releaseFiles(nextRequest(), done)),
      new Promise((_resolve, reject) =>
        host
          .watchDomains({})
          .on('error', reject)
          .on('data', () => undefined),
      ),
    ]) {
      expect((await refused(answer))?.code).toBe('CERTIFICATE_REFUSED');
    }
    expect(runner.list(false)).toEqual([]);
  });

  it('does not speak with certificates of another authority, or with none, and is known by its own name', async () => {
    const other = await TestAuthority.create();
    const foreign = client(await other.issue('CN=manager', [{ type: 'url', value: MANAGER_IDENTITY }]));
    for (const stranger of [
      foreign,
      client(undefined),
      client(await authority.issue('CN=manager', [{ type: 'url', value: MANAGER_IDENTITY }]), 'another-host'),
    ]) {
      await expect(call((done) => stranger.getHostInfo({}, done))).rejects.toMatchObject({ code: 14 });
    }
  });

  it('runs an operation and streams it to its end, results and all', async () => {
    let start: () => void = () => undefined;
    go = () => new Promise((resolve) => (start = resolve));
    const request = nextRequest();
    const { operation } = await release(request);
    expect(operation).toMatchObject({ kind: OperationKind.OPERATION_KIND_RELEASE_FILES, vmUuid: VM });
    const seen: WatchOperationResponse[] = [];
    await new Promise<void>((resolve, reject) => {
      manager
        .watchOperation({ operationId: request.header?.operationId ?? '' })
        .on('data', (answer: WatchOperationResponse) => {
          seen.push(answer);
          if ((answer.operation?.progress.length ?? 0) > 0) start();
        })
        .on('error', reject)
        .on('end', resolve);
    });
    expect(seen.at(-1)?.operation).toMatchObject({
      state: OperationState.OPERATION_STATE_SUCCEEDED,
      vmOutcome: VmOutcome.VM_OUTCOME_AS_AFTER,
      result: { $case: 'releaseFiles', value: { releasedBytes: 2n ** 60n } },
      progress: [{ key: 'k', doneBytes: 1n, totalBytes: 2n }],
    });
    const revisions = seen.map((answer) => answer.operation?.revision ?? 0n);
    expect(revisions).toEqual([...revisions].sort((a, b) => (a < b ? -1 : 1)));
    expect((await release(request)).operation?.state).toBe(OperationState.OPERATION_STATE_SUCCEEDED);
    expect(await call((done) => manager.forgetOperation({ operationId: request.header?.operationId ?? '' }, done))).toEqual({});
  });

  it('cancels, lists and gets by id', async () => {
    go = () => new Promise((resolve) => setTimeout(resolve, 50));
    const operationId = (await release(nextRequest())).operation?.operationId ?? '';
    await call((done) => manager.cancelOperation({ operationId }, done));
    await new Promise<void>((resolve) =>
      manager
        .watchOperation({ operationId })
        .on('data', () => undefined)
        .on('end', resolve),
    );
    expect(await call((done) => manager.getOperation({ operationId }, done))).toMatchObject({
      operation: { state: OperationState.OPERATION_STATE_CANCELLED, error: { code: 'CANCELLED' } },
    });
    expect(await call((done) => manager.listOperations({ unfinishedOnly: true }, done))).toEqual({ operations: [] });
    expect(await call((done) => manager.listOperations({ unfinishedOnly: false }, done))).toMatchObject({
      operations: [{ operationId }],
    });
  });

  it('answers with whole errors: code, sentence and fields', async () => {
    expect((await refused(release(nextRequest(['relative']))))?.toData()).toMatchObject({
      code: 'INVALID_INPUT',
      fields: { field: 'paths.0' },
    });
    const storage = { id: HOST_ID, name: 's', type: 'dir', source: '/s', options: '' };
    expect((await refused(call((done) => manager.inspectStorage({ storage, initialise: false }, done))))?.toData()).toEqual({
      code: 'STORAGE_MISSING',
      message: 'Not there: "é".',
      fields: { storageId: 's' },
    });
    const unknown = new Promise((_resolve, reject) =>
      manager
        .watchOperation({ operationId: VM })
        .on('data', () => undefined)
        .on('error', reject),
    );
    expect((await refused(unknown))?.code).toBe('NOT_FOUND');
    await expect(call((done) => manager.getOperation({ operationId: VM }, new Metadata(), done))).rejects.toMatchObject({
      code: 5,
    });
  });

  it('hears of VMs on other hosts, and refuses what names no file', async () => {
    const volumes = [{ layers: ['/p/a'], planned: ['/p/b'], certain: true }];
    const vm = { vmUuid: VM.toUpperCase(), fencingToken: 3n, volumes };
    expect(await call((done) => manager.guardStarts({ vms: [vm] }, done))).toEqual({});
    expect(told).toEqual([{ vmUuid: VM, fencingToken: 3n, volumes }]);
    const wrong = { vms: [{ ...vm, volumes: [{ layers: ['a'], planned: [], certain: true }] }] };
    expect((await refused(call((done) => manager.guardStarts(wrong, done))))?.toData()).toMatchObject({
      code: 'INVALID_INPUT',
      fields: { field: 'vms.0.volumes.0.layers.0' },
    });
    expect(told).toHaveLength(1);
  });

  it('shows the domains and ends a watch with its watcher', async () => {
    expect(await call((done) => manager.listDomains({ uuids: [] }, done))).toMatchObject({
      domains: [{ uuid: VM, memoryBytes: 5n }],
    });
    expect(await call((done) => manager.listDomains({ uuids: [VM] }, done))).toEqual({ domains: [] });
    const first = await new Promise<WatchDomainsResponse>((resolve) => {
      const stream = manager.watchDomains({});
      stream.on('error', () => undefined);
      stream.once('data', (answer: WatchDomainsResponse) => {
        stream.cancel();
        resolve(answer);
      });
    });
    expect(first).toMatchObject({ full: true, domains: [{ uuid: VM }], goneUuids: [] });
  });

  it('tells the manager its health', async () => {
    const asIs = (bytes: Buffer): Buffer => bytes;
    const ask = (service: string): Promise<Buffer> =>
      call((done) =>
        // HealthCheckRequest { service = 1 }
        manager.makeUnaryRequest(
          '/grpc.health.v1.Health/Check',
          asIs,
          asIs,
          Buffer.from(`\n${String.fromCharCode(service.length)}${service}`),
          (error, answer) => done(error, answer ?? Buffer.alloc(0)),
        ),
      );
    // HealthCheckResponse { status: SERVING = 1 }
    for (const service of ['', 'holdfast.agent.v1.HostAgent']) expect([...(await ask(service))]).toEqual([8, 1]);
  });

  it('describes itself to the manager by reflection', async () => {
    const asIs = (bytes: Buffer): Buffer => bytes;
    const stream = manager.makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', asIs, asIs);
    // ServerReflectionRequest { list_services: "*" }
    stream.write(Buffer.from([0x3a, 1, 0x2a]));
    const answer = await new Promise<Buffer>((resolve, reject) => {
      stream.once('data', resolve);
      stream.once('error', reject);
    });
    stream.end();
    expect(answer.toString('latin1')).toContain('holdfast.agent.v1.HostAgent');
  });
});
