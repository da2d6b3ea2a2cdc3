/** Rows of requests that carried an Idempotency-Key: what was asked, and the answer to repeat. */
import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { moment } from '../column-types.js';

@Entity('idempotency_record')
export class IdempotencyRecordEntity {
  /** API key of the caller, or `public`: two callers may use the same key. */
  @PrimaryColumn('text') scope!: string;
  /** SHA-256 of the key, hex. */
  @PrimaryColumn('text') keyHash!: string;
  /** SHA-256 of method, path and body, hex. */
  @Column('text') requestHash!: string;
  /** The answer, encrypted: some answers hold secrets that are shown once. Null while the request runs. */
  @Column({ type: 'bytea', nullable: true }) answer!: Buffer | null;
  /** Renewed while the request runs: one that is past was left by a manager that died. */
  @Column(moment) runningUntil!: Date;
  @Index('idempotency_record_created_idx') @Column(moment) createdAt!: Date;
}
