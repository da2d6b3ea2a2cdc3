/** Rows of secondary storages. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Storage } from '@holdfast/shared/api/storage.js';
import { moment, nullableBigint, nullableJson, nullableMoment } from '../column-types.js';
import { ZoneEntity } from './inventory.entities.js';

@Entity('storage')
@Unique('storage_name_key', ['zoneId', 'name'])
@Unique('storage_source_key', ['zoneId', 'type', 'source'])
export class StorageEntity {
  @PrimaryColumn('uuid') id!: string;
  @ForeignKey(() => ZoneEntity)
  @Index('storage_zone_idx')
  @Column('uuid')
  zoneId!: string;
  @Column('text') name!: string;
  @Column('text') type!: Storage['type'];
  @Column('text') source!: string;
  @Column('text') options!: string;
  @Column('boolean') readOnly!: boolean;
  @Column(nullableBigint) totalBytes!: bigint | null;
  @Column(nullableBigint) freeBytes!: bigint | null;
  @Column(nullableJson) problem!: ErrorData | null;
  @Column(nullableMoment) checkedAt!: Date | null;
  @Column(moment) createdAt!: Date;
}
