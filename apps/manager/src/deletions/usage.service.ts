/** What backups take on storages, by account. Counts what really exists: a backup counts until its files are gone. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Usage, UsageQuery } from '@holdfast/shared/api/backups.js';
import type { AccountId } from '@holdfast/shared/ids/ids.js';
import type { Caller } from '../access/caller.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';

interface UsageRow {
  readonly account: string | null;
  readonly backups: string;
  readonly bytes: string;
  readonly deleted: string;
}

@Injectable()
export class UsageService {
  constructor(private readonly dataSource: DataSource) {}

  /** A user sees its own account. */
  async list(caller: Caller, query: UsageQuery): Promise<Usage[]> {
    const find = this.dataSource.manager
      .createQueryBuilder(BackupEntity, 'b')
      .select('b.account_id', 'account')
      .addSelect('count(*)', 'backups')
      .addSelect('coalesce(sum(b.size_bytes), 0)', 'bytes')
      .addSelect(`coalesce(sum(b.size_bytes) FILTER (WHERE b.state <> 'BackedUp'), 0)`, 'deleted')
      .where(`b.state IN ('BackedUp', 'Removed', 'DeleteFailed')`)
      .groupBy('b.account_id')
      .orderBy('b.account_id', 'ASC', 'NULLS FIRST');
    if (caller.role !== 'admin') find.andWhere('b.account_id = :account', { account: caller.accountId });
    if (query.vmId !== undefined) find.andWhere('b.vm_id = :vm', { vm: query.vmId });
    if (query.storageId !== undefined) find.andWhere('b.storage_id = :storage', { storage: query.storageId });
    const rows = await find.getRawMany<UsageRow>();
    return rows.map(({ account, backups, bytes, deleted }) => ({
      ...(account === null ? {} : { accountId: account as AccountId }),
      backups: Number(backups),
      sizeBytes: bytes,
      deletedBytes: deleted,
    }));
  }
}
