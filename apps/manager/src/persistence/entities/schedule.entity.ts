/** Rows of backup schedules. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { RetentionPolicy } from '@holdfast/shared/policy/retention.js';
import { moment, nullableJson, nullableMoment, nullableUuid } from '../column-types.js';
import { VmEntity } from './vm.entities.js';

@Entity('backup_schedule')
@Unique('backup_schedule_name_key', ['vmId', 'name'])
export class ScheduleEntity {
  @PrimaryColumn('uuid') id!: string;
  @ForeignKey(() => VmEntity)
  @Column('uuid')
  vmId!: string;
  @Column('text') name!: string;
  /** Cron or calendar text as it was written. */
  @Column('text') when!: string;
  @Column('text') timeZone!: string;
  @Column('integer') jitterSeconds!: number;
  @Column('text') quiesce!: Backup['quiesce'];
  @Column('boolean') isolated!: boolean;
  @Column(nullableJson) retention!: RetentionPolicy | null;
  @Column('boolean') enabled!: boolean;
  @Column('boolean') catchUp!: boolean;
  /** The next run by the calendar. */
  @Column(nullableMoment) fireAt!: Date | null;
  /** The same with jitter, or later when it is tried again. Whoever moves it on from a value has that run. */
  @Index('backup_schedule_due_idx', { where: 'next_run_at IS NOT NULL' }) @Column(nullableMoment) nextRunAt!: Date | null;
  @Column(nullableMoment) lastRunAt!: Date | null;
  @Column(nullableUuid) lastBackupId!: string | null;
  @Column(nullableJson) lastError!: ErrorData | null;
  /** Its retention is to be applied; not before this. */
  @Index('backup_schedule_retention_idx', { where: 'retention_due_at IS NOT NULL' })
  @Column(nullableMoment)
  retentionDueAt!: Date | null;
  @Column(moment) createdAt!: Date;
}
