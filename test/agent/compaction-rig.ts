/**
 * CompactChain with its real adapters and runner in this process, without a hypervisor: it touches no VM. One rig is one life
 * of an agent; the next one on the same folder finds what the last one left. Owns the ways to die in the middle.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../apps/agent/src/clock/clock.js';
import { compactChainCommand } from '../../apps/agent/src/commands/compact-chain/compact-chain.js';
import type { CommandPorts } from '../../apps/agent/src/commands/ports.js';
import type { CompactChainRequest } from '../../apps/agent/src/commands/requests.js';
import { FencingTokens } from '../../apps/agent/src/operations/fencing.js';
import { JournalStore } from '../../apps/agent/src/operations/journal.js';
import { noBreakpoints } from '../../apps/agent/src/operations/no-breakpoints.js';
import { OperationRunner } from '../../apps/agent/src/operations/runner.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import type { ToolCall, ToolResult } from '../../apps/agent/src/process/tool-runner.js';
import { ChildFileLooks } from '../../apps/agent/src/looks/child-file-looks.js';
import { ChildTargetFiles } from '../../apps/agent/src/secondary/child-target-files.js';
import { KnownRoots } from '../../apps/agent/src/secondary/known-roots.js';
import { MountedStorageLeases } from '../../apps/agent/src/secondary/mounted-storage-leases.js';
import { Mounter } from '../../apps/agent/src/secondary/mounter.js';
import type { ChainOnStorage } from './chain-on-storage.js';
import { CountingRunner, imageTool, silentLog } from './rig.js';

/** Kills each of the first `kills` commits (SIGKILL) a little later than the one before, and lets `look` see what is left. */
class CommitKiller extends CountingRunner {
  private killed = 0;

  constructor(
    private readonly kills: number,
    private readonly look: () => Promise<void>,
  ) {
    super();
  }

  override async run(tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult> {
    if (args[0] !== 'commit' || this.killed >= this.kills) return super.run(tool, args, call);
    this.killed += 1;
    try {
      return await super.run(tool, args, { ...call, signal: AbortSignal.timeout(20 + 60 * this.killed) });
    } finally {
      await this.look();
    }
  }
}

export interface LifeOptions {
  readonly journals?: JournalStore;
  readonly killCommits?: { readonly kills: number; readonly look: () => Promise<void> };
}

export class CompactionRig {
  private constructor(
    readonly runner: OperationRunner,
    readonly ports: Pick<CommandPorts, 'files'>,
    readonly tools: CountingRunner,
    private readonly chain: ChainOnStorage,
  ) {}

  /** A life of the agent on `dir`; goes on with what an earlier one left. */
  static async start(dir: string, chain: ChainOnStorage, options: LifeOptions = {}): Promise<CompactionRig> {
    const { killCommits } = options;
    const tools = killCommits === undefined ? new CountingRunner() : new CommitKiller(killCommits.kills, killCommits.look);
    const stateDir = join(dir, 'state');
    const roots = new KnownRoots([chain.root]);
    const files = new ChildTargetFiles(tools, new ChildFileLooks(tools), roots);
    const log = silentLog;
    const clock = systemClock;
    const mountRoot = join(stateDir, 'mnt');
    const storages = new MountedStorageLeases({ stateDir, mountRoot, files, roots, mounter: new Mounter(tools), clock, log });
    const untouched = {} as never;
    const command = compactChainCommand({
      ...{ images: imageTool(tools), files, storages, clock, hostname: 'host', agentVersion: 'test' },
      ...{ hypervisor: untouched, duties: untouched, starts: untouched },
    });
    const runner = new OperationRunner({
      bootId: 'this boot',
      ...{ journals: options.journals ?? new JournalStore(stateDir), fencing: new FencingTokens(stateDir) },
      ...{ commands: { CompactChain: command }, maxConcurrentOperations: 0, breakpoints: noBreakpoints },
      ...{ undoPatienceMs: 60_000, backoff: { firstMs: 1, mostMs: 5 }, clock, log },
    });
    await runner.recover();
    await storages.recover(runner.list(true).map(({ operationId }) => operationId));
    runner.resume();
    return new CompactionRig(runner, { files }, tools, chain);
  }

  request(wish: Partial<CompactChainRequest> = {}): CompactChainRequest {
    const { chain } = this;
    return {
      header: { operationId: randomUUID(), vmUuid: chain.vmUuid, vmName: 'vm', fencingToken: 1n, timeoutSeconds: 0 },
      storage: { id: chain.storageId, name: 'store', type: 'dir', source: chain.root, options: '' },
      absorbedBackupId: chain.backups[0] ?? '',
      childBackupId: chain.backups[1] ?? '',
      ...wish,
    };
  }

  async end(request: CompactChainRequest): Promise<OperationView> {
    await this.runner.accept('CompactChain', request);
    return this.finished(request.header.operationId);
  }

  finished(operationId: string): Promise<OperationView> {
    return new Promise((resolve) => {
      const end = this.runner.watch(operationId, (view) => {
        if (!['Succeeded', 'Failed', 'Cancelled'].includes(view.state)) return;
        queueMicrotask(() => end());
        resolve(view);
      });
    });
  }
}
