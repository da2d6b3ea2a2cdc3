/**
 * Who waits for a change of an operation hears of it, whichever manager made the change. Owns the LISTEN connection.
 * A wake-up only: what is true is read from the table.
 */
import { EventEmitter, once } from 'node:events';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type pg from 'pg';
import { Logger } from '../events/logger.js';
import type { DatabaseAddress } from '../persistence/data-source.js';
import { plainClient } from '../persistence/database/database.js';
import { DATABASE_ADDRESS } from '../persistence/persistence.module.js';
import { CANCEL_CHANNEL, OPERATION_CHANNEL } from './operation-queue.js';

const RECONNECT_MS = 1000;
const ANY = 'any';
const CANCELLED = 'cancelled';

@Injectable()
export class OperationBus implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly emitter = new EventEmitter().setMaxListeners(0);
  private client: pg.Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    @Inject(DATABASE_ADDRESS) private readonly address: DatabaseAddress,
    private readonly logger: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.connect();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  /** Calls back with the id of every operation that changes. Returns how to stop. */
  subscribe(listener: (operationId: string) => void): () => void {
    this.emitter.on(ANY, listener);
    return () => this.emitter.off(ANY, listener);
  }

  /** Calls back with the id of every operation that somebody wants cancelled. Returns how to stop. */
  subscribeToCancels(listener: (operationId: string) => void): () => void {
    this.emitter.on(CANCELLED, listener);
    return () => this.emitter.off(CANCELLED, listener);
  }

  /** Resolves when the operation changes, at the latest after `timeoutMs`, or when `signal` fires. */
  async changed(operationId: string, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const timeout = AbortSignal.timeout(timeoutMs);
    await once(this.emitter, operationId, { signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]) }).catch(
      () => undefined,
    );
  }

  private async connect(): Promise<void> {
    if (this.stopped) return;
    const client = plainClient(this.address);
    const retry = (): void => {
      if (this.stopped || this.client !== client) return;
      this.client = undefined;
      void client.end().catch(() => undefined);
      this.timer = setTimeout(() => void this.connect(), RECONNECT_MS);
    };
    this.client = client;
    client.on('error', (error) => {
      this.logger.warn('lost the connection that listens for operations', { reason: error.message });
      retry();
    });
    client.on('end', retry);
    client.on('notification', ({ channel, payload }) => {
      if (payload === undefined) return;
      if (channel === CANCEL_CHANNEL) {
        this.emitter.emit(CANCELLED, payload);
        return;
      }
      this.emitter.emit(payload);
      this.emitter.emit(ANY, payload);
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${OPERATION_CHANNEL}; LISTEN ${CANCEL_CHANNEL}`);
    } catch (error) {
      this.logger.warn('cannot listen for operations', { reason: error instanceof Error ? error.message : String(error) });
      retry();
    }
  }
}
