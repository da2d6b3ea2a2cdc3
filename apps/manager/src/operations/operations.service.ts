/** Operations as callers see them: list, get, watch, cancel. Owns no work; that is the runner's. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Page } from '@holdfast/shared/api/common.js';
import type { ListOperations, Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { maySee, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { numericCursorOf, pageOf } from '../persistence/paging.js';
import { OperationBus } from './operation-bus.js';
import { OperationQueue } from './operation-queue.js';
import { isFinished, operationView } from './operation-view.js';

/** A lost notification costs a watcher at most this long. */
const POLL_MS = 2000;

@Injectable()
export class OperationsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly bus: OperationBus,
    private readonly audit: AuditLog,
  ) {}

  /** Newest first. A user sees those of its own account. */
  async list(caller: Caller, query: ListOperations): Promise<Page<Operation>> {
    const after = numericCursorOf(query);
    const find = this.dataSource.manager
      .createQueryBuilder(OperationEntity, 'o')
      .orderBy('o.seq', 'DESC')
      .limit(query.limit + 1);
    if (caller.role !== 'admin') find.andWhere('o.account_id = :account', { account: caller.accountId });
    if (query.vmId !== undefined) find.andWhere('o.vm_id = :vm', { vm: query.vmId });
    if (query.hostId !== undefined) find.andWhere('o.host_id = :host', { host: query.hostId });
    if (query.state !== undefined) find.andWhere('o.state = :state', { state: query.state });
    if (query.kind !== undefined) find.andWhere('o.kind = :kind', { kind: query.kind });
    if (after !== undefined) find.andWhere('o.seq < :after', { after: after.toString() });
    return pageOf(await find.getMany(), query.limit, (row) => row.seq.toString(), operationView);
  }

  async get(caller: Caller, operationId: string): Promise<Operation> {
    return operationView(await this.require(caller, operationId));
  }

  /** The operation now, then after every change, until it is finished or `signal` fires. Changes in quick succession may come as one. */
  async *watch(caller: Caller, operationId: string, signal?: AbortSignal): AsyncIterable<Operation> {
    let seen = -1;
    for (;;) {
      const pending = new AbortController();
      const stop = signal === undefined ? pending.signal : AbortSignal.any([pending.signal, signal]);
      // Listened before it is read: a change between the two is not missed.
      const changed = this.bus.changed(operationId, POLL_MS, stop);
      try {
        const now = operationView(await this.require(caller, operationId));
        if (now.revision > seen) {
          seen = now.revision;
          yield now;
        }
        if (isFinished(now.state)) return;
        await changed;
        if (signal?.aborted) return;
      } finally {
        pending.abort();
      }
    }
  }

  /** Asks an operation to stop. One that has not begun is cancelled at once; a running one is undone, or goes on past its point of no return. */
  async cancel(caller: Caller, operationId: string): Promise<Operation> {
    const row = await this.require(caller, operationId);
    if (isFinished(row.state)) {
      throw new HoldfastError('WRONG_STATE', `Operation ${operationId} is finished (${row.state}) and cannot be cancelled.`, {
        operationId,
        state: row.state,
      });
    }
    await this.queue.requestCancel(operationId);
    this.audit.changed(caller, 'operation.cancel', { operationId });
    return this.get(caller, operationId);
  }

  private async require(caller: Caller, operationId: string): Promise<OperationEntity> {
    const row = await this.dataSource.manager.findOneBy(OperationEntity, { id: operationId });
    if (row === null || !maySee(caller, row.accountId)) {
      throw new HoldfastError('NOT_FOUND', `There is no operation ${operationId}. List the operations to see their ids.`, {
        operationId,
      });
    }
    return row;
  }
}
