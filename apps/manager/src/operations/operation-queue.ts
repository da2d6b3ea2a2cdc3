/**
 * The queue of operations on PostgreSQL: asking, claiming within limits, leases, and writes that are fenced by (id, owner,
 * attempt). Owns the order: operations of one VM run one after another. Must not know what an operation does.
 */
import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';
import type { OperationKind } from '@holdfast/shared/api/operations.js';
import { SETTINGS } from '@holdfast/shared/settings/settings.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { OperationEntity, UNFINISHED, type OperationInput } from '../persistence/entities/operation.entity.js';
import { Clock } from '../platform/clock.js';

/** NOTIFY channel; the payload is an operation's id. */
export const OPERATION_CHANNEL = 'holdfast_operation';
/** NOTIFY channel of cancellations; the payload is an operation's id. */
export const CANCEL_CHANNEL = 'holdfast_cancel';
const CLAIM_LOCK = 7_210_003;
const HOST_LIMIT = 'backup.max.concurrent.operations.per.host';

/** How long a claim counts without a heartbeat. */
export interface LeaseOptions {
  readonly leaseMs: number;
}
export const LEASE_OPTIONS = Symbol('LEASE_OPTIONS');

/** What makes a write of a worker count: the lease that it holds. */
export interface Claim {
  readonly operationId: string;
  readonly owner: string;
  readonly attempt: number;
}

/** The lease went to somebody else: the worker stops at once and writes nothing more. */
export class LeaseLost extends Error {}

export interface NewOperation {
  readonly id?: string;
  readonly kind: OperationKind;
  readonly vmId: string;
  readonly hostId: string | null;
  readonly backupId?: string | null;
  readonly vmSnapshotId?: string | null;
  readonly accountId: string | null;
  readonly input: OperationInput;
}

@Injectable()
export class OperationQueue {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    @Inject(LEASE_OPTIONS) private readonly lease: LeaseOptions,
  ) {}

  /**
   * Asks for an operation, in the caller's transaction: it exists when, and only when, that commits. The VM is locked until
   * then: an operation of it that is asked for meanwhile gets a later place only once this one can be seen, and so waits for
   * it. Who asks for operations of several VMs in one transaction asks in the order of the VMs' ids.
   */
  async add(manager: EntityManager, wanted: NewOperation): Promise<OperationEntity> {
    await lockVm(manager, wanted.vmId);
    const now = this.clock.now();
    const id = wanted.id ?? this.clock.newId();
    await manager.insert(OperationEntity, {
      id,
      kind: wanted.kind,
      state: 'Queued',
      vmId: wanted.vmId,
      hostId: wanted.hostId,
      backupId: wanted.backupId ?? null,
      vmSnapshotId: wanted.vmSnapshotId ?? null,
      accountId: wanted.accountId,
      input: wanted.input as QueryDeepPartialEntity<OperationInput>,
      steps: [],
      progress: [],
      warnings: [],
      cancelRequested: false,
      createdAt: now,
      runAt: now,
    });
    await this.notify(manager, id);
    return manager.findOneByOrFail(OperationEntity, { id });
  }

  /** Tells every manager that the operation has changed, when the transaction commits. */
  async notify(manager: EntityManager, operationId: string): Promise<void> {
    await manager.query('SELECT pg_notify($1, $2)', [OPERATION_CHANNEL, operationId]);
  }

  /** Wants an operation cancelled: a claimed one is told by its owner, one that nobody holds is claimed so that it is ended. */
  async requestCancel(operationId: string): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      await manager.query(
        `UPDATE operation SET cancel_requested = true, revision = revision + 1, run_at = LEAST(run_at, $2) WHERE id = $1 AND ${UNFINISHED}`,
        [operationId, this.clock.now()],
      );
      await manager.query('SELECT pg_notify($1, $2)', [CANCEL_CHANNEL, operationId]);
      await this.notify(manager, operationId);
    });
  }

  /**
   * Takes the next operation for `owner`, or undefined. First those whose owner stopped breathing, then new ones whose
   * VM is free and whose host has room.
   */
  async claim(owner: string): Promise<OperationEntity | undefined> {
    return this.dataSource.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock($1)', [CLAIM_LOCK]);
      const now = this.clock.now();
      const until = new Date(now.getTime() + this.lease.leaseMs);
      const [rows] = await manager.query<[{ id: string }[], number]>(CLAIM, [
        owner,
        until,
        now,
        HOST_LIMIT,
        SETTINGS[HOST_LIMIT].default,
      ]);
      const id = rows[0]?.id;
      if (id === undefined) return undefined;
      return manager.findOneByOrFail(OperationEntity, { id });
    });
  }

  /** Renews the leases of `owner`. Returns the ids that it still holds, with those that somebody wants cancelled. */
  async heartbeat(owner: string, operationIds: readonly string[]): Promise<{ id: string; cancelRequested: boolean }[]> {
    if (operationIds.length === 0) return [];
    const until = new Date(this.clock.now().getTime() + this.lease.leaseMs);
    const [rows] = await this.dataSource.query<[{ id: string; cancel_requested: boolean }[], number]>(
      `UPDATE operation SET lease_until = $2 WHERE owner = $1 AND id = ANY($3) AND ${UNFINISHED} RETURNING id, cancel_requested`,
      [owner, until, operationIds],
    );
    return rows.map((row) => ({ id: row.id, cancelRequested: row.cancel_requested }));
  }

  /** Writes as the holder of a lease. Throws {@link LeaseLost} when it is not the holder any more. */
  async write(manager: EntityManager, claim: Claim, values: QueryDeepPartialEntity<OperationEntity>): Promise<void> {
    const result = await manager
      .createQueryBuilder()
      .update(OperationEntity)
      .set({ ...values, revision: () => 'revision + 1' })
      .where(`id = :id AND owner = :owner AND attempt = :attempt AND ${UNFINISHED}`, {
        id: claim.operationId,
        owner: claim.owner,
        attempt: claim.attempt,
      })
      .execute();
    if (result.affected !== 1) throw new LeaseLost(`the lease of operation ${claim.operationId} is lost`);
    await this.notify(manager, claim.operationId);
  }

  /** Gives a claim back: the operation waits, with the reason shown, and may be claimed again after `delayMs`. */
  async release(claim: Claim, waitingFor: string | null, delayMs: number): Promise<void> {
    const runAt = new Date(this.clock.now().getTime() + delayMs);
    await this.write(this.dataSource.manager, claim, { owner: null, leaseUntil: null, waitingFor, runAt });
  }

  /** Gives up all leases of a manager that stops in order, so that another need not wait for them to run out. */
  async releaseAll(owner: string): Promise<void> {
    await this.dataSource.query(`UPDATE operation SET owner = NULL, lease_until = NULL WHERE owner = $1 AND ${UNFINISHED}`, [
      owner,
    ]);
  }
}

/**
 * $1 owner, $2 lease until, $3 now, $4 name of the limit's setting, $5 its default.
 * An operation that was dispatched before is taken over whatever the limits say: it is running anyway. One that is to be
 * cancelled before it began is taken so that it is ended.
 */
const CLAIM = `
WITH busy AS (
  SELECT host_id, count(*)::int AS running FROM operation
  WHERE ${UNFINISHED} AND kind IN ('TakeBackup', 'RestoreBackup', 'CompactChain')
    AND (state <> 'Queued' OR request IS NOT NULL OR lease_until > $3)
  GROUP BY host_id
)
UPDATE operation SET
  owner = $1, lease_until = $2, attempt = operation.attempt + 1,
  host_id = CASE WHEN operation.request IS NULL THEN coalesce(chosen.vm_host_id, operation.host_id) ELSE operation.host_id END
FROM (
  SELECT o.id, v.host_id AS vm_host_id
  FROM operation o LEFT JOIN vm v ON v.id = o.vm_id LEFT JOIN host h ON h.id = coalesce(v.host_id, o.host_id) LEFT JOIN busy b ON b.host_id = h.id
  WHERE o.state IN ('Queued', 'Running', 'Undoing') AND (o.lease_until IS NULL OR o.lease_until <= $3) AND o.run_at <= $3
    AND (
      o.request IS NOT NULL OR o.cancel_requested
      OR (
        NOT EXISTS (SELECT 1 FROM operation earlier WHERE earlier.vm_id = o.vm_id AND earlier.seq < o.seq AND earlier.state IN ('Queued', 'Running', 'Undoing'))
        AND (
          o.kind NOT IN ('TakeBackup', 'RestoreBackup', 'CompactChain') OR h.id IS NULL
          OR coalesce(b.running, 0) < (
            SELECT CASE WHEN l.value < 1 THEN 1000000 ELSE l.value END FROM (SELECT coalesce(
              nullif(h.max_concurrent_operations, 0),
              (SELECT value::int FROM setting_override WHERE name = $4 AND scope = 'zone' AND scope_id = h.zone_id),
              (SELECT value::int FROM setting_override WHERE name = $4 AND scope = 'global'),
              $5::int) AS value) l
          )
        )
      )
    )
  ORDER BY (o.request IS NOT NULL) DESC, o.seq
  LIMIT 1
) chosen
WHERE operation.id = chosen.id
RETURNING operation.id`;
