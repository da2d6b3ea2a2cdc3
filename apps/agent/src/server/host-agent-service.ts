/** The methods of holdfast.agent.v1.HostAgent over the runner and the ports. Mapping only: nothing is decided here. */
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type {
  HostAgentServer,
  WatchDomainsResponse,
  WatchOperationResponse,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type { SurveyStorageRequest, SurveyStorageResponse } from '@holdfast/shared/wire/generated/holdfast/agent/v1/survey.js';
import type { Operation } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { Log } from '../logging/log.js';
import type { AnyRequest } from '../operations/live-operation.js';
import type { OperationKindName } from '../operations/command.js';
import { isFinished, type OperationView } from '../operations/operation-view.js';
import type { OperationRunner } from '../operations/runner.js';
import type { StorageLeases } from '../secondary/storage-leases.js';
import { removeFromStorage, removeLayers, type StrayPorts } from '../strays/remove-strays.js';
import { surveyPrimary, surveyStorage, type SurveyPorts } from '../strays/survey.js';
import { watchDomains, type DomainWatchOptions } from './domain-watch.js';
import type { HostInfo } from './host-info.js';
import type { StartGuard } from '../start-guard/start-guard.js';
import { serviceError } from './service-error.js';
import { wireDomain } from './wire-domain.js';
import { wireOperation, type ResultCodecs } from './wire-operation.js';
import * as requests from './wire-requests.js';
import * as wireSurvey from './wire-survey.js';
import { vmsElsewhere } from './wire-starts.js';

export interface ServiceOptions {
  readonly runner: OperationRunner;
  readonly codecs: ResultCodecs;
  readonly hypervisor: Pick<Hypervisor, 'observe' | 'observeAll'>;
  readonly storages: Pick<StorageLeases, 'inspect'>;
  readonly survey: SurveyPorts;
  readonly strays: StrayPorts;
  readonly guard: Pick<StartGuard, 'elsewhere'>;
  readonly hostInfo: HostInfo;
  readonly domainWatch: Omit<DomainWatchOptions, 'hypervisor'>;
  readonly log: Log;
}

export function hostAgentService(options: ServiceOptions): HostAgentServer {
  const { runner, hypervisor } = options;
  const shown = (view: OperationView): { operation: Operation } => ({ operation: wireOperation(view, options.codecs) });
  const accept = async (kind: OperationKindName, request: AnyRequest): Promise<{ operation: Operation }> =>
    shown(await runner.accept(kind, request));
  const unary = <Q, R>(method: (request: Q) => Promise<R>) => {
    return (call: ServerUnaryCall<Q, R>, callback: sendUnaryData<R>): void => {
      // Asynchronous from the start, so that what a mapping throws is an answer as well.
      Promise.resolve()
        .then(() => method(call.request))
        .then(
          (answer) => callback(null, answer),
          (thrown: unknown) => {
            options.log.info('Call refused', { method: call.getPath(), reason: String(thrown) });
            callback(serviceError(thrown));
          },
        );
    };
  };
  return {
    getHostInfo: unary(() => options.hostInfo.get()),
    listDomains: unary(async ({ uuids }) => {
      const wanted = requests.vmUuids(uuids);
      if (wanted.length === 0) return { domains: (await hypervisor.observeAll()).map(wireDomain) };
      const domains = await Promise.all(wanted.map((uuid) => hypervisor.observe(uuid)));
      return { domains: domains.filter((domain) => domain !== undefined).map(wireDomain) };
    }),
    watchDomains: (call) => void streamDomains(call, { ...options.domainWatch, hypervisor }),
    inspectStorage: unary(({ storage, initialise }) => options.storages.inspect(requests.storageSpec(storage), initialise)),
    surveyStorage: (call) => void streamSurvey(call, options.survey),
    surveyPrimary: unary(async () => wireSurvey.primary(await surveyPrimary(options.survey))),
    removeStrays: unary(async (request) => {
      const { storage, paths, layers } = wireSurvey.removal(request);
      const fromPrimary = await removeLayers(options.strays, layers);
      const fromStorage = storage === undefined ? [] : await removeFromStorage(options.strays, storage, paths);
      return { removed: [...fromPrimary, ...fromStorage].map(wireSurvey.removed) };
    }),
    guardStarts: unary(async (request) => {
      await options.guard.elsewhere(vmsElsewhere(request));
      return {};
    }),
    takeBackup: unary((request) => accept('TakeBackup', requests.takeBackupRequest(request))),
    restoreBackup: unary((request) => accept('RestoreBackup', requests.restoreBackupRequest(request))),
    cleanupBackupError: unary((request) => accept('CleanupBackupError', requests.cleanupBackupErrorRequest(request))),
    releaseFiles: unary((request) => accept('ReleaseFiles', requests.releaseFilesRequest(request))),
    deleteBackups: unary((request) => accept('DeleteBackups', requests.deleteBackupsRequest(request))),
    takeVmSnapshot: unary((request) => accept('TakeVmSnapshot', requests.takeVmSnapshotRequest(request))),
    revertVmSnapshot: unary((request) => accept('RevertVmSnapshot', requests.revertVmSnapshotRequest(request))),
    deleteVmSnapshots: unary((request) => accept('DeleteVmSnapshots', requests.deleteVmSnapshotsRequest(request))),
    compactChain: unary((request) => accept('CompactChain', requests.compactChainRequest(request))),
    watchOperation: (call) => streamOperation(call, runner, shown),
    getOperation: unary(async ({ operationId }) => shown(runner.get(requests.operationId(operationId)))),
    listOperations: unary(async ({ unfinishedOnly }) => ({
      operations: runner.list(unfinishedOnly).map((view) => wireOperation(view, options.codecs)),
    })),
    cancelOperation: unary(async ({ operationId }) => shown(await runner.cancel(requests.operationId(operationId)))),
    forgetOperation: unary(async ({ operationId }) => {
      await runner.forget(requests.operationId(operationId));
      return {};
    }),
  };
}

/** Snapshots until the finished one. A slow reader misses those between, never the last. */
function streamOperation(
  call: ServerWritableStream<{ operationId: string }, WatchOperationResponse>,
  runner: OperationRunner,
  shown: (view: OperationView) => WatchOperationResponse,
): void {
  let latest: OperationView | undefined;
  let flowing = true;
  let endWatch: () => void = () => undefined;
  const flush = (): void => {
    while (flowing && latest !== undefined) {
      const view = latest;
      latest = undefined;
      flowing = call.write(shown(view));
      if (!isFinished(view)) continue;
      endWatch();
      call.end();
      return;
    }
  };
  try {
    const operationId = requests.operationId(call.request.operationId);
    call.on('drain', () => {
      flowing = true;
      flush();
    });
    const end = runner.watch(operationId, (view) => {
      latest = view;
      // The first call comes before there is an end to keep.
      queueMicrotask(flush);
    });
    endWatch = end;
    call.on('cancelled', end);
    call.on('close', end);
  } catch (thrown) {
    call.emit('error', serviceError(thrown));
  }
}

async function streamSurvey(
  call: ServerWritableStream<SurveyStorageRequest, SurveyStorageResponse>,
  ports: SurveyPorts,
): Promise<void> {
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort());
  call.on('close', () => gone.abort());
  try {
    const storage = requests.storageSpec(call.request.storage);
    for await (const entries of surveyStorage(ports, storage, gone.signal)) {
      for (const message of wireSurvey.entries(entries)) {
        if (!call.write(message) && !gone.signal.aborted) await drained(call, gone.signal);
      }
    }
    call.end();
  } catch (thrown) {
    call.emit('error', serviceError(thrown));
  }
}

async function streamDomains(
  call: ServerWritableStream<unknown, WatchDomainsResponse>,
  options: DomainWatchOptions,
): Promise<void> {
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort());
  call.on('close', () => gone.abort());
  try {
    for await (const changes of watchDomains(options, gone.signal)) {
      const flows = call.write({
        full: changes.full,
        domains: changes.domains.map(wireDomain),
        goneUuids: [...changes.goneUuids],
      });
      if (!flows && !gone.signal.aborted) await drained(call, gone.signal);
    }
  } catch (thrown) {
    call.emit('error', serviceError(thrown));
  }
}

function drained(call: NodeJS.EventEmitter, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    call.once('drain', resolve);
    gone.addEventListener('abort', () => resolve(), { once: true });
  });
}
