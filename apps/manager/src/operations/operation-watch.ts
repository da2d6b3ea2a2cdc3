/**
 * Watches one operation at its agent: what is told is written down, a cancellation is passed on. Owns how often is written; what
 * an end means is not decided here.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { AgentClient } from '../agents/agent-client.js';
import type { AgentOperation } from '../agents/agent-types.js';
import { Logger } from '../events/logger.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { newestOf } from '../platform/newest-of.js';
import { pause } from '../platform/pause.js';
import { OperationQueue, type Claim } from './operation-queue.js';
import { isFinished } from './operation-view.js';

/** An agent tells of every step; each word written down is a commit on a disk that backups are written to as well. */
const WRITE_EVERY_MS = 200;
const CANCEL_AGAIN_MS = 2000;

/** What the runner tells a follower. */
export interface FollowerSignals {
  /** The lease is lost or the manager stops: leave it as it is. */
  readonly stop: AbortSignal;
  /** Somebody wants it cancelled. */
  readonly cancel: AbortSignal;
}

@Injectable()
export class OperationWatch {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly logger: Logger,
  ) {}

  /** Writes what the agent says until it is finished. Undefined: the stream ended early, look again. */
  async watch(
    operation: OperationEntity,
    claim: Claim,
    agent: AgentClient,
    first: AgentOperation,
    signals: FollowerSignals,
  ): Promise<AgentOperation | undefined> {
    const agentId = operation.agentOperationId ?? operation.id;
    const over = new AbortController();
    const watching = AbortSignal.any([signals.stop, over.signal]);
    const cancel = (): void => void this.cancelAtAgent(operation, agent, watching);
    if (signals.cancel.aborted || operation.cancelRequested) cancel();
    else signals.cancel.addEventListener('abort', cancel, { once: true });
    try {
      let written = operation.agentRevision ?? -1n;
      if (operation.waitingFor !== null) await this.queue.write(this.dataSource.manager, claim, { waitingFor: null });
      written = await this.writeSnapshot(claim, first, written);
      if (isFinished(first.state)) return first;
      const news = agent.watchOperation(agentId, watching);
      for await (const seen of newestOf(news, WRITE_EVERY_MS, ({ state }) => isFinished(state))) {
        if (isFinished(seen.state)) return seen;
        written = await this.writeSnapshot(claim, seen, written);
      }
      return undefined;
    } finally {
      over.abort();
      signals.cancel.removeEventListener('abort', cancel);
    }
  }

  /** Nobody asks for a cancellation twice: one that does not arrive is sent again until the watch ends. */
  private async cancelAtAgent(operation: OperationEntity, agent: AgentClient, watching: AbortSignal): Promise<void> {
    while (!watching.aborted) {
      try {
        await agent.cancelOperation(operation.agentOperationId ?? operation.id);
        return;
      } catch (error) {
        if (watching.aborted) return;
        this.logger.warn('a cancellation did not arrive', { operationId: operation.id, reason: String(error) });
        await pause(CANCEL_AGAIN_MS, watching);
      }
    }
  }

  /** A snapshot that is not newer than what was written is dropped. A finished one is written by `end`, with what it means. */
  private async writeSnapshot(claim: Claim, seen: AgentOperation, written: bigint): Promise<bigint> {
    if (seen.revision <= written || isFinished(seen.state)) return written;
    await this.queue.write(this.dataSource.manager, claim, {
      state: seen.state,
      steps: seen.steps,
      progress: seen.progress,
      warnings: [...seen.warnings],
      agentRevision: seen.revision,
      waitingFor: seen.state === 'Queued' ? 'a free place on the host' : null,
    });
    return seen.revision;
  }
}
