/** Rows of backups and their volumes. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Backup, BackupState } from '@holdfast/shared/api/backups.js';
import {
  bigintColumn,
  moment,
  nullableBigint,
  nullableJson,
  nullableMoment,
  nullableText,
  nullableUuid,
} from '../column-types.js';
import { StorageEntity } from './storage.entity.js';

@Entity('backup')
@Index('backup_vm_idx', ['vmId', 'seq'])
@Index('backup_delete_failed_idx', ['vmId'], { where: `state = 'DeleteFailed'` })
@Index('backup_expunged_idx', ['expungedAt'], { where: `state = 'Expunged'` })
export class BackupEntity {
  @PrimaryColumn('uuid') id!: string;
  /** Order of creation; lists are paged by it. */
  @Index('backup_seq_key', { unique: true }) @Column({ ...bigintColumn, generated: 'increment' }) seq!: bigint;
  @Column('uuid') vmId!: string;
  @Column('text') vmName!: string;
  /** The VM's owner when the backup was made. */
  @Index('backup_account_idx') @Column(nullableUuid) accountId!: string | null;
  @Column('text') name!: string;
  @Column('text') description!: string;
  @Column('text') state!: BackupState;
  @Column('text') type!: Backup['type'];
  @Column(nullableText) fullReason!: string | null;
  @Column('boolean') isolated!: boolean;
  @Column('boolean') endOfChain!: boolean;
  @Column('text') quiesce!: Backup['quiesce'];
  @Column({ type: 'boolean', nullable: true }) quiesced!: boolean | null;
  @Column({ type: 'integer', nullable: true }) frozenMs!: number | null;
  @Index('backup_parent_idx') @Column(nullableUuid) parentId!: string | null;
  @ForeignKey(() => StorageEntity)
  @Index('backup_storage_idx')
  @Column('uuid')
  storageId!: string;
  @Column('text') storageReason!: string;
  @Column(nullableMoment) frozenAt!: Date | null;
  @Column(nullableBigint) sizeBytes!: bigint | null;
  @Column(nullableUuid) operationId!: string | null;
  /** The schedule that made it; the row of the schedule may be gone. */
  @Index('backup_of_schedule_idx') @Column(nullableUuid) scheduleId!: string | null;
  @Column(nullableJson) error!: ErrorData | null;
  @Column('jsonb') warnings!: string[];
  /** A failed backup whose folder on storage still has to be removed. */
  @Column({ type: 'boolean', default: false }) leftoversOnStorage!: boolean;
  /** Never deleted before it is unprotected. */
  @Column({ type: 'boolean', default: false }) protected!: boolean;
  /** The operation that made it Removed. */
  @Column(nullableUuid) deleteOperationId!: string | null;
  /** Tries of a deletion that failed, and when the next one is due; null: only when somebody asks. */
  @Column({ type: 'integer', default: 0 }) deleteAttempts!: number;
  @Column(nullableMoment) deleteNotBefore!: Date | null;
  /** Since when its files are gone; the row is kept a while as history. */
  @Column(nullableMoment) expungedAt!: Date | null;
  @Column(moment) createdAt!: Date;
  @Column(nullableMoment) finishedAt!: Date | null;
}

@Entity('backup_volume')
export class BackupVolumeEntity {
  @ForeignKey(() => BackupEntity)
  @PrimaryColumn('uuid')
  backupId!: string;
  /** The volume's id. */
  @PrimaryColumn('uuid') key!: string;
  @Column('text') target!: string;
  @Column(nullableBigint) sizeBytes!: bigint | null;
  @Column(nullableBigint) virtualSizeBytes!: bigint | null;
  /** Relative to the storage root. */
  @Column('text') file!: string;
  @Column(nullableText) parentFile!: string | null;
  @Column(nullableText) digest!: string | null;
  @Column('boolean') copiedInFull!: boolean;
  @Column(nullableText) copiedInFullReason!: string | null;
}
