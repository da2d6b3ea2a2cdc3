/** Rows of zones, hosts and join tokens. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { ErrorCode } from '@holdfast/shared/errors/error-codes.js';
import { moment, nullableMoment, nullableText, nullableUuid } from '../column-types.js';

export type HostState = 'Up' | 'Down' | 'Incompatible';

/** Bytes as decimal strings: a JSON number would round them. */
export interface StoredPool {
  path: string;
  totalBytes: string;
  freeBytes: string;
}

@Entity('zone')
@Unique('zone_name_key', ['name'])
export class ZoneEntity {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column(moment) createdAt!: Date;
}

@Entity('host')
@Unique('host_name_key', ['name'])
@Unique('host_address_key', ['address'])
export class HostEntity {
  @PrimaryColumn('uuid') id!: string;
  @ForeignKey(() => ZoneEntity)
  @Index('host_zone_idx')
  @Column('uuid')
  zoneId!: string;
  @Column('text') name!: string;
  @Column('text') address!: string;
  /** What the machine calls itself; for people. */
  @Column(nullableText) hostname!: string | null;
  @Column('text') state!: HostState;
  @Column(nullableText) stateReason!: string | null;
  /** What an attempt to reach it failed with; null when it answered. */
  @Column(nullableText) stateCode!: ErrorCode | null;
  @Column('boolean') enabled!: boolean;
  @Column(nullableText) agentVersion!: string | null;
  @Column(nullableText) libvirtVersion!: string | null;
  @Column(nullableText) qemuVersion!: string | null;
  @Column('jsonb') primaryPools!: StoredPool[];
  /** The agent's own limit; 0: the setting applies. */
  @Column('integer') maxConcurrentOperations!: number;
  @Column(nullableMoment) lastSeenAt!: Date | null;
  @Column(moment) createdAt!: Date;
  /** The manager process that watches this host, and until when it may. */
  @Column(nullableUuid) watcher!: string | null;
  @Column(nullableMoment) watcherUntil!: Date | null;
}

@Entity('join_token')
@Unique('join_token_secret_hash_key', ['secretHash'])
export class JoinTokenEntity {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') zoneId!: string;
  @Column('text') secretHash!: string;
  @Column(moment) createdAt!: Date;
  @Column(moment) expiresAt!: Date;
  @Column(nullableMoment) usedAt!: Date | null;
  @Column(nullableUuid) usedByHostId!: string | null;
}
