/**
 * Runs the queue in this process: claims what may run, follows each, keeps the leases, hands cancellations on. Several
 * managers may do this on one database.
 */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Logger } from '../events/logger.js';
import { Clock } from '../platform/clock.js';
import { PeriodicTask } from '../platform/periodic-task.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { OperationBus } from './operation-bus.js';
import { OperationFollower } from './operation-follower.js';
import { LEASE_OPTIONS, LeaseLost, OperationQueue, type LeaseOptions } from './operation-queue.js';

/** Polling is the truth, a notification only makes it sooner. */
const POLL_MS = 1000;
const RETRY_MS = 5000;

interface Followed {
  readonly stop: AbortController;
  readonly cancel: AbortController;
  readonly done: Promise<void>;
}

@Injectable()
export class OperationRunner implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly owner: string;
  private readonly followed = new Map<string, Followed>();
  private readonly poll: PeriodicTask;
  private readonly heartbeat: PeriodicTask;
  private claiming: Promise<void> | undefined;
  private again = false;
  private stopped = false;
  private unsubscribe: () => void = () => {};

  constructor(
    private readonly queue: OperationQueue,
    private readonly follower: OperationFollower,
    private readonly bus: OperationBus,
    private readonly logger: Logger,
    clock: Clock,
    @Inject(LEASE_OPTIONS) lease: LeaseOptions,
  ) {
    this.owner = clock.newId();
    this.poll = new PeriodicTask('claim operations', POLL_MS, () => this.wake(), logger);
    this.heartbeat = new PeriodicTask('keep leases', lease.leaseMs / 4, () => this.keepLeases(), logger);
  }

  onApplicationBootstrap(): void {
    const changes = this.bus.subscribe((operationId) => {
      if (!this.followed.has(operationId)) void this.wake();
    });
    const cancels = this.bus.subscribeToCancels((operationId) => this.followed.get(operationId)?.cancel.abort());
    this.unsubscribe = () => {
      changes();
      cancels();
    };
    this.poll.start();
    this.heartbeat.start();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    this.unsubscribe();
    await this.poll.stop();
    await this.heartbeat.stop();
    await this.claiming;
    for (const { stop } of this.followed.values()) stop.abort();
    await Promise.all([...this.followed.values()].map(({ done }) => done));
    await this.queue.releaseAll(this.owner);
  }

  /** Claims until there is nothing to claim. Calls that come meanwhile make one more round. */
  private async wake(): Promise<void> {
    if (this.claiming !== undefined) {
      this.again = true;
      return this.claiming;
    }
    this.claiming = this.claimAll().finally(() => {
      this.claiming = undefined;
      if (this.again && !this.stopped) {
        this.again = false;
        void this.wake();
      }
    });
    return this.claiming;
  }

  private async claimAll(): Promise<void> {
    try {
      while (!this.stopped) {
        const operation = await this.queue.claim(this.owner);
        if (operation === undefined) return;
        this.begin(operation);
      }
    } catch (error) {
      this.logger.error('claiming operations failed', { reason: error instanceof Error ? error.message : String(error) });
    }
  }

  private begin(operation: OperationEntity): void {
    // A lease that ran out under a slow follower and came back to us: the old follower must end first.
    const before = this.followed.get(operation.id);
    before?.stop.abort();
    const stop = new AbortController();
    const cancel = new AbortController();
    if (operation.cancelRequested) cancel.abort();
    const done = (before?.done ?? Promise.resolve()).then(() => this.run(operation, stop, cancel));
    const entry = { stop, cancel, done };
    this.followed.set(operation.id, entry);
    void done.finally(() => {
      if (this.followed.get(operation.id) === entry) this.followed.delete(operation.id);
      if (!this.stopped) void this.wake();
    });
  }

  private async run(operation: OperationEntity, stop: AbortController, cancel: AbortController): Promise<void> {
    const claim = { operationId: operation.id, owner: this.owner, attempt: operation.attempt };
    try {
      await this.follower.follow(operation, claim, { stop: stop.signal, cancel: cancel.signal });
    } catch (error) {
      if (error instanceof LeaseLost) {
        this.logger.warn('another manager has taken over an operation', { operationId: operation.id });
        return;
      }
      this.logger.error('following an operation failed; it is tried again', {
        operationId: operation.id,
        reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      await this.queue
        .release(claim, 'the manager, which met an error of its own (see its log)', RETRY_MS)
        .catch(() => undefined);
    }
  }

  private async keepLeases(): Promise<void> {
    const ids = [...this.followed.keys()];
    const held = await this.queue.heartbeat(this.owner, ids);
    for (const { id, cancelRequested } of held) if (cancelRequested) this.followed.get(id)?.cancel.abort();
    const holds = new Set(held.map(({ id }) => id));
    for (const id of ids) if (!holds.has(id)) this.followed.get(id)?.stop.abort();
  }
}
