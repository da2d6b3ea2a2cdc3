/** Accounts and API keys. Owns how a secret is made, stored (as SHA-256) and recognised. */
import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, MoreThan } from 'typeorm';
import type { Account, ApiKey, CreateAccount, CreateApiKey, CreatedApiKey } from '@holdfast/shared/api/access.js';
import type { Page, PageQuery } from '@holdfast/shared/api/common.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AccountId, ApiKeyId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { AccountEntity, ApiKeyEntity } from '../persistence/entities/access.entities.js';
import { cursorOf, idCursorOf, pageOf } from '../persistence/paging.js';
import { isForeignKeyViolation, violatedUnique } from '../persistence/violations.js';
import { Clock } from '../platform/clock.js';

/** Account of the first administrator. */
export const FIRST_ACCOUNT = 'administrators';
const FIRST_KEY_LOCK = 7_210_002;

@Injectable()
export class AccountsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /** Who holds this secret. UNAUTHENTICATED for an unknown or expired one. */
  async authenticate(secret: string): Promise<Caller> {
    const key = await this.dataSource.manager.findOneBy(ApiKeyEntity, { secretHash: hash(secret) });
    if (key === null)
      throw new HoldfastError('UNAUTHENTICATED', 'This API key is not known. Give a key that an administrator made.');
    if (key.expiresAt !== null && key.expiresAt <= this.clock.now()) {
      throw new HoldfastError(
        'UNAUTHENTICATED',
        `The API key "${key.name}" expired at ${key.expiresAt.toISOString()}. Ask an administrator for a new one.`,
        { apiKeyId: key.id },
      );
    }
    return { role: key.role, accountId: key.accountId as AccountId, apiKeyId: key.id as ApiKeyId };
  }

  /**
   * Makes the first administrator's key when there is no key at all. `keep` stores the secret before the key counts: there is
   * never a key that nobody holds. Gives the secret, or undefined when none was made.
   */
  async createFirstKey(keep: (secret: string) => Promise<void> = async () => {}): Promise<string | undefined> {
    return this.dataSource.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock($1)', [FIRST_KEY_LOCK]);
      if ((await manager.count(ApiKeyEntity)) > 0) return undefined;
      const now = this.clock.now();
      const existing = await manager.findOneBy(AccountEntity, { name: FIRST_ACCOUNT });
      const accountId = existing?.id ?? this.clock.newId();
      if (existing === null) await manager.insert(AccountEntity, { id: accountId, name: FIRST_ACCOUNT, createdAt: now });
      const secret = newSecret();
      await manager.insert(ApiKeyEntity, {
        id: this.clock.newId(),
        name: 'first administrator',
        role: 'admin',
        accountId,
        secretHash: hash(secret),
        createdAt: now,
        expiresAt: null,
      });
      await keep(secret);
      return secret;
    });
  }

  async createAccount(caller: Caller, input: CreateAccount): Promise<Account> {
    requireAdmin(caller, 'create accounts');
    const row = { id: this.clock.newId(), name: input.name, createdAt: this.clock.now() };
    try {
      await this.dataSource.manager.insert(AccountEntity, row);
    } catch (error) {
      if (violatedUnique(error) === undefined) throw error;
      throw new HoldfastError('NAME_TAKEN', `There already is an account named "${input.name}". Choose another name.`, {
        name: input.name,
      });
    }
    this.audit.changed(caller, 'account.create', { accountId: row.id, name: row.name });
    return accountView(row);
  }

  async listAccounts(caller: Caller, query: PageQuery): Promise<Page<Account>> {
    requireAdmin(caller, 'list accounts');
    const after = cursorOf(query);
    const rows = await this.dataSource.manager.find(AccountEntity, {
      where: after === undefined ? {} : { name: MoreThan(after) },
      order: { name: 'ASC' },
      take: query.limit + 1,
    });
    return pageOf(rows, query.limit, (row) => row.name, accountView);
  }

  /** Refused with IN_USE while it has keys or VMs. */
  async deleteAccount(caller: Caller, accountId: string): Promise<void> {
    requireAdmin(caller, 'delete accounts');
    const row = await this.dataSource.manager.findOneBy(AccountEntity, { id: accountId });
    if (row === null) throw noAccount(accountId);
    try {
      await this.dataSource.manager.delete(AccountEntity, { id: accountId });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError(
        'IN_USE',
        `The account "${row.name}" still has API keys or VMs. Delete the keys and give the VMs to another account first.`,
        { accountId },
      );
    }
    this.audit.changed(caller, 'account.delete', { accountId, name: row.name });
  }

  async createApiKey(caller: Caller, input: CreateApiKey): Promise<CreatedApiKey> {
    requireAdmin(caller, 'create API keys');
    const now = this.clock.now();
    const secret = newSecret();
    const row: ApiKeyEntity = {
      id: this.clock.newId(),
      name: input.name,
      role: input.role,
      accountId: input.accountId,
      secretHash: hash(secret),
      createdAt: now,
      expiresAt: input.validSeconds === undefined ? null : new Date(now.getTime() + input.validSeconds * 1000),
    };
    try {
      await this.dataSource.manager.insert(ApiKeyEntity, row);
    } catch (error) {
      if (isForeignKeyViolation(error)) throw noAccount(input.accountId);
      throw error;
    }
    this.audit.changed(caller, 'api-key.create', { apiKeyId: row.id, name: row.name, role: row.role });
    return { ...keyView(row), secret };
  }

  async listApiKeys(caller: Caller, query: PageQuery): Promise<Page<ApiKey>> {
    requireAdmin(caller, 'list API keys');
    const after = idCursorOf(query);
    const rows = await this.dataSource.manager.find(ApiKeyEntity, {
      where: after === undefined ? {} : { id: MoreThan(after) },
      order: { id: 'ASC' },
      take: query.limit + 1,
    });
    return pageOf(rows, query.limit, (row) => row.id, keyView);
  }

  async deleteApiKey(caller: Caller, apiKeyId: string): Promise<void> {
    requireAdmin(caller, 'delete API keys');
    const deleted = await this.dataSource.manager.delete(ApiKeyEntity, { id: apiKeyId });
    if (deleted.affected === 0)
      throw new HoldfastError('NOT_FOUND', `There is no API key ${apiKeyId}. List the keys to see their ids.`, { apiKeyId });
    this.audit.changed(caller, 'api-key.delete', { apiKeyId });
  }
}

function newSecret(): string {
  return `hfk1.${randomBytes(32).toString('base64url')}`;
}

function hash(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

function noAccount(accountId: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `There is no account ${accountId}. List the accounts to see their ids.`, { accountId });
}

function accountView(row: AccountEntity): Account {
  return { id: row.id as AccountId, name: row.name, createdAt: row.createdAt.toISOString() };
}

function keyView(row: ApiKeyEntity): ApiKey {
  return {
    id: row.id as ApiKeyId,
    name: row.name,
    role: row.role,
    accountId: row.accountId as AccountId,
    createdAt: row.createdAt.toISOString(),
    ...(row.expiresAt === null ? {} : { expiresAt: row.expiresAt.toISOString() }),
  };
}
