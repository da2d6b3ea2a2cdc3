/** Watches one host: its heartbeat, its state, and the VMs on it by the agent's stream with a full comparison now and then. */
import type { DataSource } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { PROTOCOL_VERSION } from '@holdfast/shared/wire/protocol.js';
import type { AgentClient } from '../agents/agent-client.js';
import type { DomainChanges, HostInfo } from '../agents/agent-types.js';
import type { AgentsService } from '../agents/agents.service.js';
import type { Logger } from '../events/logger.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import type { Clock } from '../platform/clock.js';
import { PeriodicTask } from '../platform/periodic-task.js';
import type { ObservationRecorder, SeenHostState } from './observation-recorder.js';
import type { StartGuards } from './start-guards.js';
import type { VmLocator } from './vm-locator.js';

/** One lost heartbeat is a hiccup. */
const FAILURES_UNTIL_DOWN = 2;

export interface WatchTimes {
  readonly heartbeatMs: number;
  readonly reconcileMs: number;
}

export class HostWatcher {
  private readonly task: PeriodicTask;
  private failures = 0;
  private stream: { readonly abort: AbortController; readonly address: string; readonly done: Promise<void> } | undefined;
  private reconciledAt = 0;

  constructor(
    private readonly hostId: string,
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly recorder: ObservationRecorder,
    private readonly locator: VmLocator,
    private readonly guards: StartGuards,
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly times: WatchTimes,
  ) {
    this.task = new PeriodicTask(`watch host ${hostId}`, times.heartbeatMs, () => this.beat(), logger);
  }

  start(): void {
    this.task.start();
  }

  async stop(): Promise<void> {
    await this.task.stop();
    await this.endStream();
  }

  private async beat(): Promise<void> {
    const host = await this.dataSource.manager.findOneBy(HostEntity, { id: this.hostId });
    if (host === null) return;
    try {
      const agent = await this.agents.of(host);
      const info = await agent.hostInfo();
      this.failures = 0;
      await this.alive(host, agent, info);
    } catch (error) {
      this.failures += 1;
      const failure = HoldfastError.from(error);
      if (failure.code === 'BUG')
        this.logger.error('looking at a host failed', { hostId: host.id, host: host.name, reason: failure.message });
      if (this.failures < FAILURES_UNTIL_DOWN && failure.code !== 'VERSION_MISMATCH') return;
      await this.endStream();
      const refusal = failure.code === 'HOST_UNAVAILABLE' ? await this.agents.certificateRefusal(host) : undefined;
      const { code, message: reason } = refusal ?? failure;
      await this.setState(host, { state: code === 'VERSION_MISMATCH' ? 'Incompatible' : 'Down', reason, code });
    }
  }

  private async alive(host: HostEntity, agent: AgentClient, info: HostInfo): Promise<void> {
    const seen = judge(host, info);
    await this.dataSource.manager.update(
      HostEntity,
      { id: host.id },
      {
        lastSeenAt: this.clock.now(),
        hostname: info.hostname,
        agentVersion: info.agentVersion,
        libvirtVersion: info.libvirtVersion,
        qemuVersion: info.qemuVersion,
        maxConcurrentOperations: info.maxConcurrentOperations,
        primaryPools: info.primaryPools.map((pool) => ({
          path: pool.path,
          totalBytes: pool.totalBytes.toString(),
          freeBytes: pool.freeBytes.toString(),
        })),
      },
    );
    await this.setState(host, seen);
    if (seen.state !== 'Up') return this.endStream();
    if (this.stream !== undefined && this.stream.address !== host.address) await this.endStream();
    this.stream ??= this.openStream(host, agent);
    if (this.clock.now().getTime() - this.reconciledAt > this.times.reconcileMs) {
      await this.locator.lookElsewhere(host, await this.recorder.recordAll(host, await agent.listDomains([])));
      this.reconciledAt = this.clock.now().getTime();
    }
  }

  private openStream(host: HostEntity, agent: AgentClient): NonNullable<HostWatcher['stream']> {
    const abort = new AbortController();
    // The stream begins with a full list.
    this.reconciledAt = this.clock.now().getTime();
    const done = this.follow(host, agent, abort.signal).finally(() => {
      if (this.stream?.abort === abort) this.stream = undefined;
    });
    return { abort, address: host.address, done };
  }

  private async follow(host: HostEntity, agent: AgentClient, signal: AbortSignal): Promise<void> {
    try {
      for await (const changes of agent.watchDomains(signal)) await this.apply(host, changes);
    } catch (error) {
      if (!signal.aborted)
        this.logger.warn('the stream of VMs of a host ended', {
          hostId: host.id,
          host: host.name,
          reason: HoldfastError.from(error).message,
        });
    }
  }

  private async apply(host: HostEntity, changes: DomainChanges): Promise<void> {
    // The stream begins with all VMs: the host was away, or this manager was.
    if (changes.full) void this.guards.tellHost(host);
    for (const domain of changes.full ? [] : changes.domains) await this.recorder.record(host, domain);
    const gone = changes.full
      ? await this.recorder.recordAll(host, changes.domains)
      : await this.recorder.recordGone(host, changes.goneUuids);
    // A VM that left this host has most likely moved to another, which may have told of it before.
    await this.locator.lookElsewhere(host, gone);
  }

  private async endStream(): Promise<void> {
    const stream = this.stream;
    this.stream = undefined;
    stream?.abort.abort();
    await stream?.done;
  }

  private async setState(host: HostEntity, seen: SeenHostState): Promise<void> {
    const { state, reason } = seen;
    if (host.state === state && host.stateReason === reason && host.stateCode === seen.code) return;
    await this.recorder.recordHostState(host.id, seen);
    if (host.state === state) return;
    this.logger.info('host changed its state', { hostId: host.id, host: host.name, state, reason: reason ?? '' });
  }
}

/** What a heartbeat says about a host. */
function judge(host: HostEntity, info: HostInfo): SeenHostState {
  if (info.protocolVersion !== PROTOCOL_VERSION) {
    return {
      state: 'Incompatible',
      reason: `its agent ${info.agentVersion} speaks protocol ${info.protocolVersion}, this manager ${PROTOCOL_VERSION}`,
      code: null,
    };
  }
  if (info.hostId !== host.id)
    return { state: 'Incompatible', reason: `the agent at ${host.address} says that it is host ${info.hostId}`, code: null };
  if (!info.hypervisorAvailable)
    return { state: 'Down', reason: 'libvirtd on it does not answer; start it (systemctl start libvirtd)', code: null };
  return { state: 'Up', reason: null, code: null };
}
