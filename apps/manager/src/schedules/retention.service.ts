/**
 * Applies the retention of schedules: judges their backups and asks for the deletion of those that no rule keeps. Must not
 * decide what a deletion means for a chain. The verdict and the request are one transaction under the VM's lock, so that
 * several managers ask once, and a manager that dies leaves the rest to be asked for.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, IsNull, type EntityManager } from 'typeorm';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { RetentionVerdict } from '@holdfast/shared/api/schedules.js';
import type { BackupId } from '@holdfast/shared/ids/ids.js';
import { decideRetention, type RetentionPolicy } from '@holdfast/shared/policy/retention.js';
import { DeletionsService } from '../deletions/deletions.service.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { ScheduleEntity } from '../persistence/entities/schedule.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';

export interface AppliedRetention {
  /** Newest first. */
  readonly retention: RetentionVerdict[];
  /** The deletion; undefined when nothing goes. */
  readonly operation: Operation | undefined;
}

@Injectable()
export class RetentionService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deletions: DeletionsService,
  ) {}

  /** What a policy says of the backups that a schedule has now for the VM's owner. Changes nothing. */
  async judge(
    known: Pick<ScheduleEntity, 'id' | 'vmId'>,
    policy: RetentionPolicy | null,
    timeZone: string,
  ): Promise<RetentionVerdict[]> {
    const manager = this.dataSource.manager;
    const { accountId } = await manager.findOneByOrFail(VmEntity, { id: known.vmId });
    return verdicts(manager, { scheduleId: known.id, accountId, policy, timeZone });
  }

  /**
   * Asks for the deletion of what the schedule's own policy lets go. A schedule that has been deleted keeps everything.
   * `dueAt`: only when it is still due since then, so that of several managers one asks.
   */
  async apply(known: Pick<ScheduleEntity, 'id' | 'vmId'>, dueAt?: Date): Promise<AppliedRetention> {
    return this.dataSource.transaction(async (tx) => {
      const { accountId } = await lockVm(tx, known.vmId);
      const row = await tx.findOneBy(ScheduleEntity, { id: known.id, ...(dueAt === undefined ? {} : { retentionDueAt: dueAt }) });
      if (row === null) return { retention: [], operation: undefined };
      await tx.update(ScheduleEntity, { id: row.id }, { retentionDueAt: null });
      const retention = await verdicts(tx, { scheduleId: row.id, accountId, policy: row.retention, timeZone: row.timeZone });
      const ids = retention.filter((verdict) => !verdict.keep).map((verdict) => verdict.backupId);
      const why = `the retention of the schedule "${row.name}"`;
      return { retention, operation: ids.length === 0 ? undefined : await this.deletions.deleteAsSystem(tx, row.vmId, ids, why) };
    });
  }
}

interface Wish {
  readonly scheduleId: string;
  /** Who has the VM. */
  readonly accountId: string | null;
  readonly policy: RetentionPolicy | null;
  readonly timeZone: string;
}

/**
 * Of the backups of the schedule that exist and that nobody has deleted. A schedule goes with its VM to another account, the
 * backups that it made before do not: who sets its rules now neither deletes nor sees them.
 */
async function verdicts(manager: EntityManager, { scheduleId, accountId, policy, timeZone }: Wish): Promise<RetentionVerdict[]> {
  const rows = await manager.findBy(BackupEntity, { scheduleId, state: 'BackedUp', accountId: accountId ?? IsNull() });
  const backups = new Map(
    rows.flatMap((row) => (row.frozenAt === null ? [] : [[row.id, { ...row, order: row.seq, frozenAt: row.frozenAt }]])),
  );
  return decideRetention([...backups.values()], policy ?? {}, timeZone).flatMap(({ id, keep, reasons }) => {
    const backup = backups.get(id);
    if (backup === undefined) return [];
    const { name, frozenAt } = backup;
    return [{ backupId: id as BackupId, name, frozenAt: frozenAt.toISOString(), keep, reasons: [...reasons] }];
  });
}
