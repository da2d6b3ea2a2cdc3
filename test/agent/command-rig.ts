/**
 * The agent's commands with their real adapters and runner in this process, on a test host. Owns the little plan that the
 * manager would make: names of deltas and of files, what is merged.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { systemClock, type Clock } from '../../apps/agent/src/clock/clock.js';
import { createCommands } from '../../apps/agent/src/commands/index.js';
import { bigintJson } from '../../apps/agent/src/commands/shared/bigint-json.js';
import type {
  RestoreBackupRequest,
  TakeBackupRequest,
  TakeBackupResult,
  RestoreBackupResult,
} from '../../apps/agent/src/commands/requests.js';
import { GuestDuties } from '../../apps/agent/src/guest-duties/guest-duties.js';
import type { OperationKindName } from '../../apps/agent/src/operations/command.js';
import type { Log } from '../../apps/agent/src/logging/log.js';
import { FencingTokens } from '../../apps/agent/src/operations/fencing.js';
import { JournalStore } from '../../apps/agent/src/operations/journal.js';
import type { AnyRequest } from '../../apps/agent/src/operations/live-operation.js';
import type { Breakpoints } from '../../apps/agent/src/operations/breakpoints.js';
import { noBreakpoints } from '../../apps/agent/src/operations/no-breakpoints.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { OperationRunner } from '../../apps/agent/src/operations/runner.js';
import { StartGuard } from '../../apps/agent/src/start-guard/start-guard.js';
import { ChildFileLooks } from '../../apps/agent/src/looks/child-file-looks.js';
import { ChildTargetFiles } from '../../apps/agent/src/secondary/child-target-files.js';
import { KnownRoots } from '../../apps/agent/src/secondary/known-roots.js';
import { MountedStorageLeases } from '../../apps/agent/src/secondary/mounted-storage-leases.js';
import { Mounter } from '../../apps/agent/src/secondary/mounter.js';
import type { StorageSpec } from '../../apps/agent/src/secondary/storage-spec.js';
import type { TestHost } from '../testbed/test-host.js';
import type { TestVm } from '../testbed/test-vm.js';
import { CountingRunner, hypervisorOf, imageTool } from './rig.js';

/** Keeps what the agent logs, to show it when a test fails. */
const lines: string[] = [];
const keepingLog: Log = {
  debug: () => undefined,
  info: (message, fields) => void lines.push(`info ${message} ${text(fields)}`),
  warn: (message, fields) => void lines.push(`warn ${message} ${text(fields)}`),
  error: (message, fields) => void lines.push(`error ${message} ${text(fields)}`),
};
const text = (fields: unknown): string =>
  JSON.stringify(fields, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));

export interface RigOptions {
  readonly breakpoints?: Breakpoints;
  /** Default 60 000. */
  readonly undoPatienceMs?: number;
  readonly clock?: Clock;
}

/** A clock by which the agent's patience is over so many times sooner. */
export const hurriedClock = (times: number): Clock => ({
  now: () => systemClock.now() * times,
  sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
});

export class CommandRig {
  private token = 0n;

  private constructor(
    readonly runner: OperationRunner,
    readonly storage: StorageSpec,
    readonly vm: TestVm,
    private readonly host: TestHost,
    readonly hypervisor: ReturnType<typeof hypervisorOf>,
  ) {}

  static async create(host: TestHost, vm: TestVm, options: RigOptions = {}): Promise<CommandRig> {
    const tools = new CountingRunner();
    const stateDir = join(host.dir, 'rig');
    const roots = new KnownRoots([host.dir]);
    const files = new ChildTargetFiles(tools, new ChildFileLooks(tools), roots);
    const images = imageTool(tools);
    const hypervisor = hypervisorOf(host, tools);
    const clock = options.clock ?? systemClock;
    const log = keepingLog;
    const mountRoot = join(stateDir, 'mnt');
    const storages = new MountedStorageLeases({ stateDir, mountRoot, files, roots, mounter: new Mounter(tools), clock, log });
    const duties = new GuestDuties({ dir: join(stateDir, 'guest-duties'), hypervisor, clock, log });
    const starts = new StartGuard({ dir: join(stateDir, 'hook'), files, log });
    await starts.recover([]);
    const runner = new OperationRunner({
      bootId: 'this boot',
      journals: new JournalStore(stateDir),
      fencing: new FencingTokens(stateDir),
      commands: createCommands({
        ...{ hypervisor, images, files, storages, duties, clock },
        starts,
        ...{ hostname: host.name, agentVersion: 'test' },
      }),
      ...{
        maxConcurrentOperations: 0,
        breakpoints: options.breakpoints ?? noBreakpoints,
        undoPatienceMs: options.undoPatienceMs ?? 60_000,
        backoff: { firstMs: 100, mostMs: 1_000 },
      },
      ...{ clock, log },
    });
    await runner.recover();
    await storages.recover([]);
    const source = join(host.dir, 'store');
    await mkdir(source, { recursive: true });
    const storage = { id: randomUUID(), name: 'store', type: 'dir', source, options: '' };
    await storages.inspect(storage, true);
    return new CommandRig(runner, storage, vm, host, hypervisor);
  }

  header(): TakeBackupRequest['header'] {
    this.token += 1n;
    return { operationId: randomUUID(), vmUuid: this.vm.uuid, vmName: this.vm.name, fencingToken: this.token, timeoutSeconds: 0 };
  }

  /** Runs an operation to its end; throws with the agent's log when it did not succeed. */
  async run<Result>(kind: OperationKindName, request: AnyRequest): Promise<Result> {
    const view = await this.end(kind, request);
    if (view.state !== 'Succeeded' || view.vmOutcome !== 'AsAfter') {
      throw new Error(
        `${kind} ${view.state} ${view.vmOutcome}: ${text(view.error)} ${text(view.warnings)}\n${lines.slice(-30).join('\n')}`,
      );
    }
    return this.resultOf<Result>(view);
  }

  resultOf<Result>(view: OperationView): Result {
    return bigintJson<Result>().decode(view.result ?? null);
  }

  /** Runs an operation to its end, whatever that is; then I7: sent once more it has no second effect. */
  async end(kind: OperationKindName, request: AnyRequest): Promise<OperationView> {
    await this.runner.accept(kind, request);
    const ended = await this.ended(request);
    await this.demandNoSecondEffect(kind, request, ended);
    return ended;
  }

  private ended(request: AnyRequest): Promise<OperationView> {
    return new Promise((resolve) => {
      const end = this.runner.watch(request.header.operationId, (view) => {
        if (!['Succeeded', 'Failed', 'Cancelled'].includes(view.state)) return;
        queueMicrotask(() => end());
        resolve(view);
      });
    });
  }

  /** The same request is answered with the operation as it ended, and begins nothing; another one under its id is refused. */
  private async demandNoSecondEffect(kind: OperationKindName, request: AnyRequest, ended: OperationView): Promise<void> {
    assert.deepEqual(await this.runner.accept(kind, request), ended, `I7: what ${kind} answers when it is sent again`);
    const other = { ...request, header: { ...request.header, vmName: `${request.header.vmName}, another` } } as AnyRequest;
    await assert.rejects(this.runner.accept(kind, other), { code: 'OPERATION_ID_REUSED' }, 'I7: another request with its id');
    assert.deepEqual(this.runner.list(true), [], 'I7: nothing has begun');
    assert.deepEqual(this.runner.get(request.header.operationId), ended, 'I7: the operation is as it ended');
  }

  /** The request of a backup with the plan that the manager would make. `keys`: target → volume key. */
  async backupRequest(
    keys: ReadonlyMap<string, string>,
    parent: { id: string; result: TakeBackupResult } | undefined,
    wish: Partial<Pick<TakeBackupRequest, 'isolated' | 'endOfChain' | 'quiesce'>> = {},
  ): Promise<TakeBackupRequest> {
    const domain = await this.hypervisor.observe(this.vm.uuid);
    if (domain === undefined) throw new Error('the VM is gone');
    const backupId = randomUUID();
    const volumes = domain.disks.map((disk) => {
      const activePath = disk.layers[0]?.path ?? '';
      const newDeltaPath = join(dirname(activePath), `${disk.target}.${backupId}.hf.qcow2`);
      const before = parent?.result.volumes.find((one) => one.target === disk.target);
      const merges = wish.isolated || before?.deltaPath === undefined ? [] : [before.deltaPath];
      return {
        ...{ key: keys.get(disk.target) ?? '', target: disk.target, activePath, newDeltaPath },
        ...(wish.isolated ? {} : { parentDeltaPath: before?.deltaPath, parentDeltaInode: before?.deltaInode }),
        mergeDeltaPaths: wish.isolated || wish.endOfChain ? [...merges, newDeltaPath] : merges,
        pins: [],
      };
    });
    const incremental = parent !== undefined && wish.isolated !== true;
    return {
      ...{ header: this.header(), storage: this.storage, backupId, backupName: 'b', type: incremental ? 'INCREMENTAL' : 'FULL' },
      ...(incremental ? { parentBackupId: parent.id } : {}),
      ...{
        isolated: false,
        endOfChain: false,
        quiesce: 'no',
        freezeBudgetMs: 10_000,
        volumes,
        coroutines: 8,
        notes: {},
        vmSettings: {},
      },
      ...wish,
    };
  }

  restoreRequest(backupId: string, volumes: RestoreBackupRequest['volumes']): RestoreBackupRequest {
    return {
      header: this.header(),
      storage: this.storage,
      backupId,
      volumes,
      mergeVolumes: [],
      coroutines: 8,
      acceptDamaged: false,
    };
  }

  /** Absolute path of a volume's file in a backup. */
  file(backupId: string, key: string): string {
    return join(this.storage.source, 'backups', this.vm.uuid, backupId, `${key}.qcow2`);
  }

  get folder(): string {
    return this.host.dir;
  }
}

export type { RestoreBackupResult, TakeBackupResult };
