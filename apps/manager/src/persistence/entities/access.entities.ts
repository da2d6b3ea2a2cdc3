/** Rows of accounts, API keys and overridden settings. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { Role } from '@holdfast/shared/api/access.js';
import { moment, nullableMoment } from '../column-types.js';

@Entity('account')
@Unique('account_name_key', ['name'])
export class AccountEntity {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column(moment) createdAt!: Date;
}

@Entity('api_key')
@Unique('api_key_secret_hash_key', ['secretHash'])
export class ApiKeyEntity {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('text') role!: Role;
  @ForeignKey(() => AccountEntity)
  @Index('api_key_account_idx')
  @Column('uuid')
  accountId!: string;
  /** SHA-256 of the secret, hex. The secret itself is never stored. */
  @Column('text') secretHash!: string;
  @Column(moment) createdAt!: Date;
  @Column(nullableMoment) expiresAt!: Date | null;
}

/** An override of a setting. `scopeId` is the nil UUID for the global scope. */
@Entity('setting_override')
export class SettingOverrideEntity {
  @PrimaryColumn('text') name!: string;
  @PrimaryColumn('text') scope!: 'global' | 'zone';
  @PrimaryColumn('uuid') scopeId!: string;
  @Column('text') value!: string;
}
