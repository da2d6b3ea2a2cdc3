/** Rows of operations: the queue, the lease of the manager that follows one, and what the agent last said. */
import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Operation, OperationKind, OperationState, PlannedChange } from '@holdfast/shared/api/operations.js';
import type { AddressedCommand } from '../agent-command.js';
import {
  bigintColumn,
  moment,
  nullableBigint,
  nullableJson,
  nullableMoment,
  nullableText,
  nullableUuid,
} from '../column-types.js';

/** What was asked, by kind. Plain data; read by the kind's handler only. */
export type OperationInput = Readonly<Record<string, unknown>>;

/** Operations that no one has finished: what the queue looks at. */
export const UNFINISHED = `state IN ('Queued', 'Running', 'Undoing')`;

/** Finished operations whose journals the agents still keep. */
export const UNFORGOTTEN = `accepted AND NOT forgotten AND finished_at IS NOT NULL`;

@Entity('operation')
@Index('operation_unfinished_vm_idx', ['vmId', 'seq'], { where: UNFINISHED })
@Index('operation_unfinished_host_idx', ['hostId'], { where: UNFINISHED })
@Index('operation_vm_idx', ['vmId', 'seq'])
@Index('operation_unforgotten_idx', ['finishedAt'], { where: UNFORGOTTEN })
export class OperationEntity {
  @PrimaryColumn('uuid') id!: string;
  /** Order of asking: operations of one VM run one after another in it; lists are paged by it. */
  @Index('operation_seq_key', { unique: true }) @Column({ ...bigintColumn, generated: 'increment' }) seq!: bigint;
  @Column('text') kind!: OperationKind;
  @Column('text') state!: OperationState;
  @Column('uuid') vmId!: string;
  @Column(nullableUuid) hostId!: string | null;
  @Column(nullableUuid) backupId!: string | null;
  @Column(nullableUuid) vmSnapshotId!: string | null;
  @Index('operation_account_idx') @Column(nullableUuid) accountId!: string | null;
  @Column('jsonb') input!: OperationInput;

  /** Grows with every change that a reader can see. */
  @Column({ ...bigintColumn, default: 0 }) revision!: bigint;
  @Column('jsonb') steps!: Operation['steps'];
  @Column('jsonb') progress!: Operation['progress'];
  @Column(nullableJson) error!: ErrorData | null;
  @Column('jsonb') warnings!: string[];
  @Column(nullableJson) plan!: string[] | null;
  /** The same plan as data. */
  @Column(nullableJson) planned!: PlannedChange[] | null;
  @Column('boolean') cancelRequested!: boolean;
  @Column(nullableText) waitingFor!: string | null;
  @Column(moment) createdAt!: Date;
  @Column(nullableMoment) startedAt!: Date | null;
  @Column(nullableMoment) finishedAt!: Date | null;

  /** Not claimed before. */
  @Column(moment) runAt!: Date;
  /** The manager process that works on it, and until when its word counts. */
  @Column(nullableUuid) owner!: string | null;
  @Column(nullableMoment) leaseUntil!: Date | null;
  /** Grows with every claim; fences the writes of an owner that lost its lease. */
  @Column({ type: 'integer', default: 0 }) attempt!: number;

  /** The id under which the agent knows the work. A new plan after PLAN_OUTDATED gets a new one. */
  @Column(nullableUuid) agentOperationId!: string | null;
  /** The command, written before it is sent; sent again unchanged after any doubt. */
  @Column(nullableJson) request!: AddressedCommand | null;
  /** The agent has accepted the request. */
  @Column({ type: 'boolean', default: false }) accepted!: boolean;
  @Column(nullableBigint) agentRevision!: bigint | null;
  @Column({ type: 'integer', default: 0 }) replans!: number;
  /** The agent was told that it may forget the operation. */
  @Column({ type: 'boolean', default: false }) forgotten!: boolean;
}
