/**
 * Takes one claimed operation to its end: plan, send, watch, re-attach. Owns the order of these and what is written between them,
 * so that it can be left at any point and taken up by another manager. Watching and what an end is are beside. Knows no kind's
 * meaning.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { isUncertain } from '../agents/agent-errors.js';
import type { AgentClient } from '../agents/agent-client.js';
import type { AgentOperation } from '../agents/agent-types.js';
import type { AddressedCommand } from '../persistence/agent-command.js';
import { AgentsService } from '../agents/agents.service.js';
import { Logger } from '../events/logger.js';
import { hostProblem } from '../inventory/host-lookup.js';
import { StartGuards } from '../inventory/start-guards.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { pause } from '../platform/pause.js';
import { changesOf } from '../primary/changes-of.js';
import { SettingsService } from '../settings/settings.service.js';
import type { OperationHandler, Preparation } from './operation-handler.js';
import { OperationEnds } from './operation-ends.js';
import { OperationHandlers } from './operation-handlers.js';
import { tellToForget } from './operation-sweep.js';
import { OperationQueue, type Claim } from './operation-queue.js';
import { isFinished } from './operation-view.js';
import { OperationWatch, type FollowerSignals } from './operation-watch.js';

const WAIT_MS = 2000;
const STREAM_PAUSE_MS = 200;
const MAX_REPLANS = 3;

@Injectable()
export class OperationFollower {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly ends: OperationEnds,
    private readonly handlers: OperationHandlers,
    private readonly agents: AgentsService,
    private readonly operationWatch: OperationWatch,
    private readonly guards: StartGuards,
    private readonly settings: SettingsService,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** Works until the operation is finished, given back, or `stop` fires. LeaseLost when another manager has it. */
  async follow(operation: OperationEntity, claim: Claim, signals: FollowerSignals): Promise<void> {
    const handler = this.handlers.of(operation.kind);
    let toldOf: string | null | undefined;
    while (!signals.stop.aborted) {
      const now = await this.dataSource.manager.findOneByOrFail(OperationEntity, { id: operation.id });
      if (isFinished(now.state)) return;
      if (now.request === null) {
        if (!(await this.plan(now, claim, handler, signals))) return;
        continue;
      }
      const host = await this.dataSource.manager.findOneBy(HostEntity, { id: now.hostId ?? '' });
      if (host === null) return this.ends.lost(now, claim, handler, `its host ${now.hostId ?? ''} was deleted`);
      try {
        if (!now.accepted && toldOf !== now.agentOperationId) {
          await this.guards.tellPlanned(now.vmId);
          toldOf = now.agentOperationId;
        }
        const agent = await this.agents.of(host);
        const seen = now.accepted ? await this.reattach(now, agent) : await this.send(now, now.request, claim, agent);
        if (seen === 'unknown')
          return await this.ends.lost(now, claim, handler, `the agent on host "${host.name}" does not know it any more`);
        const finished = await this.operationWatch.watch(now, claim, agent, seen, signals);
        if (finished === undefined) {
          await pause(STREAM_PAUSE_MS, signals.stop);
          continue;
        }
        if (this.isOutdated(finished.error, now) && (leftNothing(finished) || handler.recordAttempt !== undefined)) {
          await this.replan(now, claim, finished.error, (manager, vm) => handler.recordAttempt?.(manager, vm, finished));
          await this.forget(now, agent);
          continue;
        }
        await this.ends.asTold(now, claim, handler, finished);
        await this.forget(now, agent);
        return;
      } catch (thrown) {
        if (!(thrown instanceof HoldfastError)) throw thrown;
        if (isUncertain(thrown)) {
          const elsewhere = await this.leftBehind(now, host);
          if (elsewhere !== undefined) return await this.ends.lost(now, claim, handler, elsewhere);
          const { message } = (host.stateCode === 'CERTIFICATE_REFUSED' ? hostProblem(host) : undefined) ?? thrown;
          await this.wait(now, claim, `the host "${host.name}": ${message}`, signals);
        } else if (now.accepted) {
          throw thrown;
        } else if (this.isOutdated(thrown, now) || (await this.isSetBack(thrown, now))) {
          await this.replan(now, claim, thrown);
        } else {
          // The agent refused to begin: nothing has happened.
          return this.ends.refused(now, claim, handler, thrown);
        }
      }
    }
  }

  /** Plans and stores the command. False when the operation is done with or given back. */
  private async plan(
    operation: OperationEntity,
    claim: Claim,
    handler: OperationHandler,
    signals: FollowerSignals,
  ): Promise<boolean> {
    if (signals.cancel.aborted || operation.cancelRequested) {
      await this.ends.refused(
        operation,
        claim,
        handler,
        new HoldfastError('CANCELLED', 'Cancelled before it began.', { operationId: operation.id }),
      );
      return false;
    }
    let prepared: Preparation;
    try {
      prepared = await handler.prepare(operation);
    } catch (thrown) {
      await this.unplanned(operation, claim, handler, thrown);
      return false;
    }
    if (prepared.kind === 'wait') {
      await this.queue.release(claim, prepared.reason, WAIT_MS);
      return false;
    }
    try {
      if (prepared.kind === 'send') await this.store(operation, claim, prepared);
      else await this.ends.locally(operation, claim, prepared);
    } catch (thrown) {
      // A lease that is lost, a database that is away: the plan is not to blame.
      if (!(thrown instanceof HoldfastError)) throw thrown;
      await this.unplanned(operation, claim, handler, thrown);
      return false;
    }
    return prepared.kind === 'send';
  }

  /** No plan, or one that did not hold when it was to be written down: nothing was. */
  private async unplanned(operation: OperationEntity, claim: Claim, handler: OperationHandler, thrown: unknown): Promise<void> {
    const error = HoldfastError.from(thrown);
    if (isUncertain(error)) return this.queue.release(claim, error.message, WAIT_MS);
    if (error.code === 'PLAN_OUTDATED') return this.queue.release(claim, `a new plan: ${error.message}`, WAIT_MS);
    if (error.code === 'BUG')
      this.logger.error('planning failed', { operationId: operation.id, reason: (thrown as Error).stack });
    await this.ends.refused(operation, claim, handler, error);
  }

  /** One transaction: new fencing token, intended paths, command. From here on the command is what is sent, whoever sends it. */
  private async store(operation: OperationEntity, claim: Claim, prepared: Extract<Preparation, { kind: 'send' }>): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, operation.vmId);
      const fencingToken = vm.fencingToken + 1n;
      await manager.update(VmEntity, { id: vm.id }, { fencingToken, activeOperationId: operation.id });
      await prepared.record(manager, vm);
      const timeout = await this.settings.resolve('backup.timeout', vm.zoneId, manager);
      // A new plan is new work for the agent, which never acts twice for one id.
      const agentOperationId = operation.replans === 0 ? operation.id : this.clock.newId();
      const command: AddressedCommand = {
        ...prepared.command,
        header: {
          operationId: agentOperationId,
          vmUuid: vm.id,
          vmName: vm.name,
          fencingToken: fencingToken.toString(),
          timeoutSeconds: timeout,
        },
      };
      await this.queue.write(manager, claim, {
        hostId: prepared.hostId,
        agentOperationId,
        request: command as object,
        accepted: false,
        agentRevision: null,
        waitingFor: null,
        // Said of the work under the id before.
        forgotten: false,
      });
    });
  }

  private async send(
    operation: OperationEntity,
    command: AddressedCommand,
    claim: Claim,
    agent: AgentClient,
  ): Promise<AgentOperation> {
    const seen = await agent.start(command);
    await this.queue.write(this.dataSource.manager, claim, {
      accepted: true,
      waitingFor: null,
      startedAt: operation.startedAt ?? this.clock.now(),
    });
    operation.accepted = true;
    return seen;
  }

  private async reattach(operation: OperationEntity, agent: AgentClient): Promise<AgentOperation | 'unknown'> {
    try {
      return await agent.getOperation(operation.agentOperationId ?? operation.id);
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'NOT_FOUND') return 'unknown';
      throw error;
    }
  }

  private isOutdated(error: { readonly code: ErrorData['code'] } | null, operation: OperationEntity): boolean {
    return error?.code === 'PLAN_OUTDATED' && operation.replans < MAX_REPLANS && !operation.cancelRequested;
  }

  /**
   * The agent has seen a newer fencing token than this database has ever given out: the database was set back to an earlier
   * day. True when the VM's token has caught up, so that a new plan is sent under a newer one. When the database itself has
   * given out a newer token, the command really is an old one: false.
   */
  private async isSetBack(error: HoldfastError, operation: OperationEntity): Promise<boolean> {
    const { highest = '' } = error.fields;
    if (error.code !== 'FENCED' || !/^\d+$/.test(highest) || operation.replans >= MAX_REPLANS) return false;
    return this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, operation.vmId);
      if (vm.fencingToken.toString() !== operation.request?.header.fencingToken) return false;
      await manager.update(VmEntity, { id: vm.id }, { fencingToken: BigInt(highest) });
      this.logger.warn('the host has seen newer work on the VM than this database knows: was the database set back?', {
        vmId: vm.id,
        fencingToken: vm.fencingToken.toString(),
        highest,
      });
      return true;
    });
  }

  /**
   * The VM was not as planned: forgets the plan, so that it is made again. `record` writes what was done by it in the same
   * transaction: a new plan that names what the old one took away could not be explained.
   */
  private async replan(
    operation: OperationEntity,
    claim: Claim,
    error: ErrorData | null,
    record: (manager: EntityManager, vm: VmEntity) => Promise<void> | undefined = () => undefined,
  ): Promise<void> {
    this.logger.info('a plan was outdated', { operationId: operation.id, reason: error?.message ?? '' });
    const fresh = {
      request: null,
      accepted: false,
      agentRevision: null,
      replans: operation.replans + 1,
      state: 'Queued' as const,
      steps: [],
      progress: [],
    };
    await this.dataSource.transaction(async (manager) => {
      await record(manager, await lockVm(manager, operation.vmId));
      await this.queue.write(manager, claim, fresh);
    });
  }

  /**
   * Why work on a host that is down is not waited for: the VM was started on another host meanwhile. The agent of the dead
   * host does nothing more to a chain when it is back: its host was restarted, or the VM has left it.
   */
  private async leftBehind(operation: OperationEntity, host: HostEntity): Promise<string | undefined> {
    if (host.state !== 'Down') return undefined;
    const vm = await this.dataSource.manager.findOneByOrFail(VmEntity, { id: operation.vmId });
    if (vm.hostId === host.id || (vm.powerState !== 'Running' && vm.powerState !== 'Paused')) return undefined;
    return `its host "${host.name}" is down, and the VM runs on another host`;
  }

  /** The journal may go. When the agent cannot be told now, the sweep tells it later. */
  private async forget(operation: OperationEntity, agent: AgentClient): Promise<void> {
    try {
      await tellToForget(this.dataSource.manager, operation, agent);
    } catch (error) {
      this.logger.warn('an agent was not told to forget an operation yet', { operationId: operation.id, reason: String(error) });
    }
  }

  private async wait(operation: OperationEntity, claim: Claim, waitingFor: string, signals: FollowerSignals): Promise<void> {
    if (operation.waitingFor !== waitingFor) await this.queue.write(this.dataSource.manager, claim, { waitingFor });
    await pause(WAIT_MS, signals.stop);
  }
}

/** Nothing on the host is different from before the attempt. */
function leftNothing(finished: AgentOperation): boolean {
  const { removedPaths = [], leftPaths = [], movedPins = [] } = changesOf(finished) ?? {};
  return finished.outcome === 'AsBefore' && removedPaths.length + leftPaths.length + movedPins.length === 0;
}
