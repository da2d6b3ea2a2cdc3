/** One agent, called over gRPC with mutual TLS. Owns deadlines and the decoding of errors; answers in our own types. */
import { Metadata, type ClientReadableStream, type ClientUnaryCall, type ServiceError } from '@grpc/grpc-js';
import { assertNever, HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { HostAgentClient } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type {
  CancelOperationResponse,
  CleanupBackupErrorResponse,
  DeleteBackupsResponse,
  CompactChainResponse,
  ForgetOperationResponse,
  GetHostInfoResponse,
  GetOperationResponse,
  GuardStartsResponse,
  InspectStorageResponse,
  ListDomainsResponse,
  ListOperationsResponse,
  DeleteVmSnapshotsResponse,
  ReleaseFilesResponse,
  RestoreBackupResponse,
  RevertVmSnapshotResponse,
  TakeBackupResponse,
  TakeVmSnapshotResponse,
  WatchDomainsResponse,
  WatchOperationResponse,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type {
  RemoveStraysResponse,
  SurveyPrimaryResponse,
  SurveyStorageResponse,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/survey.js';
import { OperationKind } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { fromServiceError, type CalledHost } from './agent-errors.js';
import type {
  AgentOperation,
  DomainChanges,
  HostInfo,
  RemovedStray,
  SeenDomain,
  StorageFacts,
  SurveyedEntry,
  SurveyedLayer,
  UnfinishedWork,
  VmElsewhere,
} from './agent-types.js';
import type { AddressedCommand, StorageAccess } from '../persistence/agent-command.js';
import { toRemovedStray, toSurveyedEntry, toSurveyedLayer } from './wire-survey.js';
import {
  toCleanupRequest,
  toDeleteBackupsRequest,
  toCompactChainRequest,
  toDeleteVmSnapshotsRequest,
  toReleaseFilesRequest,
  toRestoreBackupRequest,
  toRevertVmSnapshotRequest,
  toTakeBackupRequest,
  toTakeVmSnapshotRequest,
} from './wire-commands.js';
import { toDomain, toDomainChanges, toHostInfo, toOperation } from './wire-mapping.js';

const SHORT_MS = 10_000;
const LIST_MS = 60_000;
/** Mounting may take its time; a hanging storage is the agent's to give up on. */
const STORAGE_MS = 120_000;

/** Looking at everything in all pools, or removing much. */
const SURVEY_MS = 900_000;

type Done<Response> = (error: ServiceError | null, response: Response) => void;
type Unary<Response> = (done: Done<Response>) => ClientUnaryCall;

export class AgentClient {
  constructor(
    private readonly client: HostAgentClient,
    private readonly host: CalledHost,
  ) {}

  async hostInfo(): Promise<HostInfo> {
    return toHostInfo(
      await this.unary((done: Done<GetHostInfoResponse>) => this.client.getHostInfo({}, new Metadata(), within(SHORT_MS), done)),
    );
  }

  /** Unknown UUIDs are absent from the answer. */
  async listDomains(uuids: readonly string[]): Promise<SeenDomain[]> {
    const { domains } = await this.unary((done: Done<ListDomainsResponse>) =>
      this.client.listDomains({ uuids: [...uuids] }, new Metadata(), within(LIST_MS), done),
    );
    return domains.map(toDomain);
  }

  /** First all domains, then changes. Ends with an error when the connection does. */
  async *watchDomains(signal: AbortSignal): AsyncIterable<DomainChanges> {
    const stream: ClientReadableStream<WatchDomainsResponse> = this.client.watchDomains({});
    for await (const message of this.read(stream, signal)) yield toDomainChanges(message);
  }

  async inspectStorage(storage: StorageAccess, initialise: boolean): Promise<StorageFacts> {
    const { storageId, totalBytes, freeBytes, writable } = await this.unary((done: Done<InspectStorageResponse>) =>
      this.client.inspectStorage({ storage: { ...storage }, initialise }, new Metadata(), within(STORAGE_MS), done),
    );
    return { storageId, totalBytes, freeBytes, writable };
  }

  /** Everything below backups/ of a storage, told by the agent in pieces. */
  async surveyStorage(storage: StorageAccess): Promise<SurveyedEntry[]> {
    const stream: ClientReadableStream<SurveyStorageResponse> = this.client.surveyStorage({ storage: { ...storage } });
    const found: SurveyedEntry[] = [];
    // Never given up half way: what was not told would look as if it were missing.
    for await (const { entries } of this.read(stream, new AbortController().signal)) found.push(...entries.map(toSurveyedEntry));
    return found;
  }

  async surveyPrimary(): Promise<{ layers: SurveyedLayer[]; silentPools: string[] }> {
    const { layers, silentPools } = await this.unary((done: Done<SurveyPrimaryResponse>) =>
      this.client.surveyPrimary({}, new Metadata(), within(SURVEY_MS), done),
    );
    return { layers: layers.map(toSurveyedLayer), silentPools };
  }

  /** Removes what nobody needs; each path answers for itself. */
  async removeStrays(
    storage: StorageAccess,
    paths: readonly { path: string; folder: boolean; deletedBackup: boolean }[],
    layers: readonly { path: string; inode: bigint }[],
  ): Promise<RemovedStray[]> {
    const request = {
      storage: { ...storage },
      paths: [...paths],
      layers: layers.map((layer) => ({ ...layer, sizeBytes: 0n, allocatedBytes: 0n })),
    };
    const { removed } = await this.unary((done: Done<RemoveStraysResponse>) =>
      this.client.removeStrays(request, new Metadata(), within(SURVEY_MS), done),
    );
    return removed.map(toRemovedStray);
  }

  /** Tells the host's start guard of VMs on other hosts. Repeating it is harmless. */
  async guardStarts(vms: readonly VmElsewhere[], patienceMs: number): Promise<void> {
    const request = {
      vms: vms.map((vm) => ({
        ...vm,
        volumes: vm.volumes.map(({ layers, planned, certain }) => ({ layers: [...layers], planned: [...planned], certain })),
      })),
    };
    await this.unary((done: Done<GuardStartsResponse>) =>
      this.client.guardStarts(request, new Metadata(), within(patienceMs), done),
    );
  }

  /** The unfinished operations on this host, whoever started them. */
  async unfinished(): Promise<UnfinishedWork[]> {
    const { operations } = await this.unary((done: Done<ListOperationsResponse>) =>
      this.client.listOperations({ unfinishedOnly: true }, new Metadata(), within(SHORT_MS), done),
    );
    return operations.map(({ vmUuid, kind }) => ({
      vmId: vmUuid.toLowerCase(),
      makesPrimaryFiles:
        kind === OperationKind.OPERATION_KIND_RESTORE_BACKUP || kind === OperationKind.OPERATION_KIND_REVERT_VM_SNAPSHOT,
    }));
  }

  /** Hands over an operation. The same command again is harmless: it answers with the operation as it is now. */
  async start(command: AddressedCommand): Promise<AgentOperation> {
    const metadata = new Metadata();
    const options = within(SHORT_MS);
    switch (command.kind) {
      case 'takeBackup':
        return toOperation(
          (
            await this.unary((done: Done<TakeBackupResponse>) =>
              this.client.takeBackup(toTakeBackupRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'restoreBackup':
        return toOperation(
          (
            await this.unary((done: Done<RestoreBackupResponse>) =>
              this.client.restoreBackup(toRestoreBackupRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'cleanupBackupError':
        return toOperation(
          (
            await this.unary((done: Done<CleanupBackupErrorResponse>) =>
              this.client.cleanupBackupError(toCleanupRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'compactChain':
        return toOperation(
          (
            await this.unary((done: Done<CompactChainResponse>) =>
              this.client.compactChain(toCompactChainRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'releaseFiles':
        return toOperation(
          (
            await this.unary((done: Done<ReleaseFilesResponse>) =>
              this.client.releaseFiles(toReleaseFilesRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'deleteBackups':
        return toOperation(
          (
            await this.unary((done: Done<DeleteBackupsResponse>) =>
              this.client.deleteBackups(toDeleteBackupsRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'takeVmSnapshot':
        return toOperation(
          (
            await this.unary((done: Done<TakeVmSnapshotResponse>) =>
              this.client.takeVmSnapshot(toTakeVmSnapshotRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'revertVmSnapshot':
        return toOperation(
          (
            await this.unary((done: Done<RevertVmSnapshotResponse>) =>
              this.client.revertVmSnapshot(toRevertVmSnapshotRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      case 'deleteVmSnapshots':
        return toOperation(
          (
            await this.unary((done: Done<DeleteVmSnapshotsResponse>) =>
              this.client.deleteVmSnapshots(toDeleteVmSnapshotsRequest(command.header, command.request), metadata, options, done),
            )
          ).operation,
        );
      default:
        return assertNever(command);
    }
  }

  /** The operation now and after every change; ends with the finished one. */
  async *watchOperation(operationId: string, signal: AbortSignal): AsyncIterable<AgentOperation> {
    const stream: ClientReadableStream<WatchOperationResponse> = this.client.watchOperation({ operationId });
    for await (const message of this.read(stream, signal)) yield toOperation(message.operation);
  }

  async getOperation(operationId: string): Promise<AgentOperation> {
    return toOperation(
      (
        await this.unary((done: Done<GetOperationResponse>) =>
          this.client.getOperation({ operationId }, new Metadata(), within(SHORT_MS), done),
        )
      ).operation,
    );
  }

  async cancelOperation(operationId: string): Promise<AgentOperation> {
    return toOperation(
      (
        await this.unary((done: Done<CancelOperationResponse>) =>
          this.client.cancelOperation({ operationId }, new Metadata(), within(SHORT_MS), done),
        )
      ).operation,
    );
  }

  async forgetOperation(operationId: string): Promise<void> {
    await this.unary((done: Done<ForgetOperationResponse>) =>
      this.client.forgetOperation({ operationId }, new Metadata(), within(SHORT_MS), done),
    );
  }

  private unary<Response>(call: Unary<Response>): Promise<Response> {
    return new Promise((resolve, reject) => {
      call((error, response) => {
        if (error === null) resolve(response);
        else reject(fromServiceError(error, this.host));
      });
    });
  }

  private async *read<Message>(stream: ClientReadableStream<Message>, signal: AbortSignal): AsyncIterable<Message> {
    const cancel = (): void => stream.cancel();
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel);
    try {
      for await (const message of stream as AsyncIterable<Message>) yield message;
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof HoldfastError ? error : fromServiceError(error as ServiceError, this.host);
    } finally {
      signal.removeEventListener('abort', cancel);
      stream.cancel();
    }
  }
}

function within(milliseconds: number): { deadline: Date } {
  return { deadline: new Date(Date.now() + milliseconds) };
}
