/**
 * An agent in memory: a true little implementation of HostAgent over real gRPC and TLS. Its VMs are chains of layers, its
 * operations change them as the real ones do, and keep ids, fencing and idempotency. A test steers it by `script`.
 */
import { Metadata, Server, ServerCredentials, type ServerWritableStream, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { ERROR_METADATA_KEY, toWireError } from '@holdfast/shared/wire/grpc-error.js';
import { DomainState, type Disk, type Domain, type Layer } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import {
  HostAgentService,
  type GuardStartsRequest,
  type InspectStorageRequest,
  type InspectStorageResponse,
  type VmElsewhere,
  type WatchDomainsResponse,
  type WatchOperationResponse,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, VmOutcome, type Operation } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type {
  RemovedStray,
  RemoveStraysRequest,
  SurveyedEntry,
  SurveyedLayer,
  SurveyStorageResponse,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/survey.js';
import { PROTOCOL_VERSION } from '@holdfast/shared/wire/protocol.js';
import { type ReceivedCommand } from './received-command.js';
import { act } from './fake-agent-actions.js';
import { FakeChains } from './fake-chains.js';

export interface FakeIdentity {
  readonly hostId: string;
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly caCertificatePem: string;
}

/** How an operation is to go, instead of simply succeeding. */
export interface Script {
  /** Refuses to begin. */
  refuse?: HoldfastError;
  /** Stays Running until {@link FakeAgent.resume}. */
  hold?: boolean;
  /** Ends like this; the chain is not touched unless `act`. */
  end?: {
    state: OperationState;
    outcome: VmOutcome;
    error?: ErrorData;
    steps?: Operation['steps'];
    result?: Operation['result'];
  };
  /** Changes the chain even though `end` is given. */
  act?: boolean;
}

interface Kept {
  readonly command: ReceivedCommand;
  readonly json: string;
  operation: Operation;
  script: Script;
}

type Reply<T> = (error: { code: number; details: string; metadata: Metadata } | null, value?: T) => void;

export class FakeAgent {
  readonly domains = new Map<string, Domain>();
  readonly chains = new FakeChains();
  readonly operations = new Map<string, Kept>();
  /** Every command that was accepted for the first time, in order. */
  readonly accepted: ReceivedCommand[] = [];
  readonly forgotten: string[] = [];
  readonly cancelled: string[] = [];
  /** What the next calls to cancel are refused with, one each. */
  readonly cancelRefusals: HoldfastError[] = [];
  /** Taken by the next operations, one each. */
  readonly scripts: Script[] = [];
  /** What lies on its storages and in its pools. */
  readonly entries: SurveyedEntry[] = [];
  readonly layers: SurveyedLayer[] = [];
  readonly silentPools: string[] = [];
  readonly removals: RemoveStraysRequest[] = [];
  /** What it was told of VMs on other hosts, in order; and whether it answers to that. */
  readonly told: VmElsewhere[] = [];
  guardHangs = false;
  removeStray = (path: string): RemovedStray => ({ path, freedBytes: 1000n, keptCode: '', keptBecause: '' });
  protocolVersion = PROTOCOL_VERSION;
  hypervisorAvailable = true;
  hostname = 'fake';
  /** Where the connections come from that heartbeats came over. */
  readonly peers = new Set<string>();
  storage: (request: InspectStorageRequest) => InspectStorageResponse;
  private readonly fencing = new Map<string, bigint>();
  private readonly domainWatchers = new Set<ServerWritableStream<unknown, WatchDomainsResponse>>();
  private readonly operationWatchers = new Map<string, Set<ServerWritableStream<unknown, WatchOperationResponse>>>();
  private server: Server | undefined;
  private nextInode = 100n;
  port = 0;

  constructor(private identity: FakeIdentity) {
    this.storage = ({ storage }) => ({
      storageId: storage?.id ?? '',
      formatVersion: 1,
      totalBytes: 10n ** 12n,
      freeBytes: 5n * 10n ** 11n,
      writable: true,
    });
  }

  /** Listens on the port that it had before, if any. */
  async start(): Promise<void> {
    const { keyPem, certificatePem, caCertificatePem } = this.identity;
    this.server = new Server();
    this.server.addService(HostAgentService, this.implementation());
    const credentials = ServerCredentials.createSsl(
      Buffer.from(caCertificatePem),
      [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificatePem) }],
      true,
    );
    const server = this.server;
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
  }

  async stop(): Promise<void> {
    this.server?.forceShutdown();
    this.server = undefined;
    this.domainWatchers.clear();
    this.operationWatchers.clear();
  }

  become(identity: FakeIdentity): void {
    this.identity = identity;
  }

  /** As if the state folder was wiped. */
  loseState(): void {
    this.operations.clear();
  }

  /** Puts a VM there, or changes it, and says so to who watches. */
  setDomain(domain: Domain): void {
    this.domains.set(domain.uuid, domain);
    this.chains.learn(domain);
    this.tell({ full: false, domains: [domain], goneUuids: [] });
  }

  removeDomain(uuid: string): void {
    this.domains.delete(uuid);
    this.tell({ full: false, domains: [], goneUuids: [uuid] });
  }

  newInode(): bigint {
    return (this.nextInode += 1n);
  }

  /** Ends an operation that was held. */
  resume(operationId: string, script: Script = {}): void {
    const kept = this.operations.get(operationId);
    if (kept === undefined) throw new Error(`no operation ${operationId}`);
    this.finish(kept, { ...kept.script, ...script, hold: false });
  }

  /** Says something new about a running operation. */
  progress(operationId: string, change: Partial<Operation>): void {
    const kept = this.operations.get(operationId);
    if (kept !== undefined) this.change(kept, change);
  }

  private begin(command: ReceivedCommand, reply: Reply<{ operation: Operation }>): void {
    try {
      reply(null, { operation: this.accept(command) });
    } catch (error) {
      reply(wire(error));
    }
  }

  private accept(command: ReceivedCommand): Operation {
    const header = command.request.header;
    if (header === undefined) throw new HoldfastError('INVALID_INPUT', 'no header');
    const json = JSON.stringify(command, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
    const known = this.operations.get(header.operationId);
    if (known !== undefined) {
      if (known.json !== json)
        throw new HoldfastError('OPERATION_ID_REUSED', `${header.operationId} was used for something else`);
      return known.operation;
    }
    const highest = this.fencing.get(header.vmUuid) ?? 0n;
    if (header.fencingToken < highest) throw new HoldfastError('FENCED', 'an older token', { highest: String(highest) });
    this.fencing.set(header.vmUuid, header.fencingToken);
    const script = this.scripts.shift() ?? {};
    if (script.refuse !== undefined) throw script.refuse;
    const operation: Operation = {
      operationId: header.operationId,
      kind: kindOf(command),
      vmUuid: header.vmUuid,
      state: OperationState.OPERATION_STATE_RUNNING,
      revision: 1n,
      acceptedAtUnixMs: 1n,
      finishedAtUnixMs: 0n,
      steps: [],
      progress: [],
      vmOutcome: VmOutcome.VM_OUTCOME_UNSPECIFIED,
      warnings: [],
    };
    const kept: Kept = { command, json, operation, script };
    this.operations.set(header.operationId, kept);
    this.accepted.push(command);
    if (script.hold !== true) setImmediate(() => this.finish(kept, script));
    return operation;
  }

  private finish(kept: Kept, script: Script): void {
    const acted = script.end === undefined || script.act === true ? act(this, kept.command) : undefined;
    const end = script.end ?? { state: OperationState.OPERATION_STATE_SUCCEEDED, outcome: VmOutcome.VM_OUTCOME_AS_AFTER };
    this.change(kept, {
      state: end.state,
      vmOutcome: end.outcome,
      steps: end.steps ?? kept.operation.steps,
      finishedAtUnixMs: 2n,
      error:
        end.error === undefined
          ? undefined
          : { code: end.error.code, message: end.error.message, fields: { ...end.error.fields } },
      result: end.result ?? (end.state === OperationState.OPERATION_STATE_SUCCEEDED ? acted : undefined),
    });
  }

  private change(kept: Kept, change: Partial<Operation>): void {
    kept.operation = { ...kept.operation, ...change, revision: kept.operation.revision + 1n };
    const watchers = this.operationWatchers.get(kept.operation.operationId) ?? new Set();
    const over = kept.operation.finishedAtUnixMs !== 0n;
    for (const watcher of watchers) {
      watcher.write({ operation: kept.operation });
      if (over) watcher.end();
    }
    if (over) watchers.clear();
  }

  private tell(message: WatchDomainsResponse): void {
    for (const watcher of this.domainWatchers) watcher.write(message);
  }

  private find(id: string): Kept {
    const kept = this.operations.get(id);
    if (kept === undefined) throw new HoldfastError('NOT_FOUND', `no operation ${id}`);
    return kept;
  }

  private implementation(): UntypedServiceImplementation {
    const answer =
      <Request, Response>(work: (request: Request, peer: string) => Response) =>
      (call: { request: Request; getPeer(): string }, reply: Reply<Response>): void => {
        try {
          reply(null, work(call.request, call.getPeer()));
        } catch (error) {
          reply(wire(error));
        }
      };
    const start =
      <K extends ReceivedCommand['kind']>(kind: K) =>
      (call: { request: Extract<ReceivedCommand, { kind: K }>['request'] }, reply: Reply<{ operation: Operation }>): void =>
        this.begin({ kind, request: call.request } as ReceivedCommand, reply);
    return {
      getHostInfo: answer((_request, peer) => {
        this.peers.add(peer);
        return {
          hostId: this.identity.hostId,
          hostname: this.hostname,
          agentVersion: '0.1.0',
          protocolVersion: this.protocolVersion,
          libvirtVersion: '9.0.0',
          qemuVersion: '7.2.22',
          qemuImgVersion: '7.2.22',
          hypervisorAvailable: this.hypervisorAvailable,
          primaryPools: [{ path: '/pool', totalBytes: 1000n, freeBytes: 500n }],
          maxConcurrentOperations: 0,
          runningOperations: 0,
          startedAtUnixMs: 1n,
        };
      }),
      listDomains: answer(({ uuids }: { uuids: string[] }) => ({
        domains: [...this.domains.values()].filter((domain) => uuids.length === 0 || uuids.includes(domain.uuid)),
      })),
      watchDomains: (call: ServerWritableStream<unknown, WatchDomainsResponse>): void => {
        this.domainWatchers.add(call);
        call.on('cancelled', () => this.domainWatchers.delete(call));
        call.write({ full: true, domains: [...this.domains.values()], goneUuids: [] });
      },
      inspectStorage: answer((request: InspectStorageRequest) => this.storage(request)),
      surveyStorage: (call: ServerWritableStream<unknown, SurveyStorageResponse>): void => {
        for (const entry of this.entries) call.write({ entries: [entry] });
        call.end();
      },
      surveyPrimary: answer(() => ({ layers: this.layers, silentPools: this.silentPools })),
      removeStrays: answer((request: RemoveStraysRequest) => {
        this.removals.push(request);
        return { removed: [...request.paths, ...request.layers].map(({ path }) => this.removeStray(path)) };
      }),
      guardStarts: ({ request }: { request: GuardStartsRequest }, reply: Reply<object>): void => {
        this.told.push(...request.vms);
        if (!this.guardHangs) reply(null, {});
      },
      takeBackup: start('takeBackup'),
      restoreBackup: start('restoreBackup'),
      cleanupBackupError: start('cleanupBackupError'),
      releaseFiles: start('releaseFiles'),
      deleteBackups: start('deleteBackups'),
      compactChain: start('compactChain'),
      takeVmSnapshot: start('takeVmSnapshot'),
      revertVmSnapshot: start('revertVmSnapshot'),
      deleteVmSnapshots: start('deleteVmSnapshots'),
      watchOperation: (call: ServerWritableStream<{ operationId: string }, WatchOperationResponse>): void => {
        const kept = this.operations.get(call.request.operationId);
        if (kept === undefined) {
          call.emit('error', wire(new HoldfastError('NOT_FOUND', 'no such operation')));
          return;
        }
        call.write({ operation: kept.operation });
        if (kept.operation.finishedAtUnixMs !== 0n) {
          call.end();
          return;
        }
        const watchers = this.operationWatchers.get(call.request.operationId) ?? new Set();
        this.operationWatchers.set(call.request.operationId, watchers.add(call));
      },
      getOperation: answer(({ operationId }: { operationId: string }) => ({ operation: this.find(operationId).operation })),
      listOperations: answer(({ unfinishedOnly }: { unfinishedOnly: boolean }) => ({
        operations: [...this.operations.values()]
          .map((kept) => kept.operation)
          .filter((operation) => !unfinishedOnly || operation.finishedAtUnixMs === 0n),
      })),
      cancelOperation: answer(({ operationId }: { operationId: string }) => {
        const refusal = this.cancelRefusals.shift();
        if (refusal !== undefined) throw refusal;
        const kept = this.find(operationId);
        this.cancelled.push(operationId);
        this.finish(kept, {
          end: {
            state: OperationState.OPERATION_STATE_CANCELLED,
            outcome: VmOutcome.VM_OUTCOME_AS_BEFORE,
            error: { code: 'CANCELLED', message: 'Cancelled by request.', fields: {} },
          },
        });
        return { operation: kept.operation };
      }),
      forgetOperation: answer(({ operationId }: { operationId: string }) => {
        this.operations.delete(operationId);
        this.forgotten.push(operationId);
        return {};
      }),
    } as UntypedServiceImplementation;
  }
}

function wire(error: unknown): { code: number; details: string; metadata: Metadata } {
  const { code, details, bytes } = toWireError(HoldfastError.from(error));
  const metadata = new Metadata();
  metadata.set(ERROR_METADATA_KEY, Buffer.from(bytes));
  return { code, details, metadata };
}

function kindOf(command: ReceivedCommand): Operation['kind'] {
  const names = {
    takeBackup: 'OPERATION_KIND_TAKE_BACKUP',
    restoreBackup: 'OPERATION_KIND_RESTORE_BACKUP',
    cleanupBackupError: 'OPERATION_KIND_CLEANUP_BACKUP_ERROR',
    releaseFiles: 'OPERATION_KIND_RELEASE_FILES',
    deleteBackups: 'OPERATION_KIND_DELETE_BACKUPS',
    compactChain: 'OPERATION_KIND_COMPACT_CHAIN',
    takeVmSnapshot: 'OPERATION_KIND_TAKE_VM_SNAPSHOT',
    revertVmSnapshot: 'OPERATION_KIND_REVERT_VM_SNAPSHOT',
    deleteVmSnapshots: 'OPERATION_KIND_DELETE_VM_SNAPSHOTS',
  } as const;
  return names[command.kind] as Operation['kind'];
}

/** A running VM with these disks: paths from the active layer down. */
export function domainOf(uuid: string, name: string, disks: Record<string, readonly string[]>, inode: () => bigint): Domain {
  return {
    uuid,
    name,
    state: DomainState.DOMAIN_STATE_RUNNING,
    persistent: true,
    guestAgent: true,
    vcpus: 1,
    memoryBytes: 256n * 1024n * 1024n,
    nvram: false,
    disks: Object.entries(disks).map(([target, paths]): Disk => ({
      target,
      serial: '',
      format: 'qcow2',
      virtualSizeBytes: 1_000_000n,
      layers: paths.map((path) => layerOf(path, inode())),
    })),
    problems: [],
    snapshots: [],
  };
}

export function layerOf(path: string, inode: bigint): Layer {
  return { path, format: 'qcow2', inode, virtualSizeBytes: 1_000_000n, allocatedBytes: 1000n };
}
