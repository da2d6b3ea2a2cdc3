/**
 * Makes the backups of schedules when their time comes. Several managers may run it: a run belongs to whoever moves the
 * schedule's `nextRunAt` on from the value that made it due, in the same transaction that writes the backup. So one run makes one
 * backup, and a manager that dies on the way leaves it to the others. What is in the way is recorded, and the schedule goes on.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, In, LessThanOrEqual, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { isUncertain } from '../agents/agent-errors.js';
import { BackupsService } from '../backups/backups.service.js';
import { Logger } from '../events/logger.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { ScheduleEntity } from '../persistence/entities/schedule.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import { decideRun, idleReason, retryAt } from './decide-run.js';
import { ScheduleTimes } from './schedule-times.js';
import { backupWish } from './schedule-view.js';

const ROUND_MS = 2000;
const AT_ONCE = 16;

type DueSchedule = ScheduleEntity & { readonly fireAt: Date; readonly nextRunAt: Date };
type Changes = Partial<Pick<ScheduleEntity, 'fireAt' | 'nextRunAt' | 'lastRunAt' | 'lastBackupId' | 'lastError'>>;

@Injectable()
export class ScheduleRunner extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly backups: BackupsService,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    super('run schedules', ROUND_MS, logger);
  }

  /** Makes what is due now. One schedule that fails does not keep the others from their turn. */
  async round(): Promise<void> {
    const due = await this.dataSource.manager.find(ScheduleEntity, {
      where: { nextRunAt: LessThanOrEqual(this.clock.now()) },
      order: { nextRunAt: 'ASC' },
    });
    for (let start = 0; start < due.length; start += AT_ONCE) {
      const ended = await Promise.allSettled(due.slice(start, start + AT_ONCE).map((row) => this.run(row as DueSchedule)));
      for (const one of ended) if (one.status === 'rejected') throw one.reason;
    }
  }

  private async run(row: DueSchedule): Promise<void> {
    const manager = this.dataSource.manager;
    const vm = await manager.findOneByOrFail(VmEntity, { id: row.vmId });
    const now = this.clock.now();
    const next = this.next(row, now);
    if (idleReason(row, vm) !== undefined) {
      await this.moveOn(manager, row, next);
      return;
    }
    if (decideRun({ ...row, runAt: row.nextRunAt }, now) === 'miss') {
      const at = row.fireAt.toISOString();
      const error = new HoldfastError(
        'RUN_MISSED',
        `The run of ${at} was missed, because no manager was running, and is left out. Turn catch-up on to have such runs made later.`,
        { scheduleId: row.id, fireAt: at },
      );
      await this.recordRefusal(row, { ...next, lastError: error.toData() }, error);
      return;
    }
    try {
      const operation = await this.backups.createScheduled(vm, backupWish(row), row.id, async (tx, backupId) => {
        await this.refuseWhileOwnIsUnfinished(tx, row, vm);
        return this.moveOn(tx, row, { ...next, lastRunAt: now, lastBackupId: backupId, lastError: null });
      });
      if (operation === undefined) return;
      this.logger.info('a schedule asked for a backup', {
        scheduleId: row.id,
        vmId: vm.id,
        backupId: operation.backupId,
        operationId: operation.id,
        fireAt: row.fireAt.toISOString(),
      });
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      const again = retryAt(
        { ...row, runAt: row.nextRunAt },
        error.retryable || isUncertain(error),
        next.nextRunAt ?? undefined,
        this.clock.now(),
      );
      const times = again === undefined ? next : { fireAt: row.fireAt, nextRunAt: again };
      await this.recordRefusal(row, { ...times, lastRunAt: now, lastError: error.toData() }, error);
    }
  }

  /** The first run after now: of several that are due, one is made. */
  private next(row: ScheduleEntity, now: Date): { fireAt: Date | null; nextRunAt: Date | null } {
    const next = ScheduleTimes.known(row).next(row.id, now);
    return { fireAt: next?.fireAt ?? null, nextRunAt: next?.runAt ?? null };
  }

  /** Its backups do not pile up: the next begins when the one before has ended. */
  private async refuseWhileOwnIsUnfinished(tx: EntityManager, row: ScheduleEntity, vm: VmEntity): Promise<void> {
    const unfinished = await tx.findOneBy(BackupEntity, { scheduleId: row.id, state: In(['Queued', 'BackingUp']) });
    if (unfinished === null) return;
    throw new HoldfastError(
      'VM_BUSY',
      `The backup "${unfinished.name}" of the VM "${vm.name}", which the same schedule asked for, has not ended yet.`,
      {
        vmId: vm.id,
        backupId: unfinished.id,
        ...(unfinished.operationId === null ? {} : { operationId: unfinished.operationId }),
      },
    );
  }

  /** False: another manager, or a change of the schedule, was faster. */
  private async moveOn(manager: EntityManager, row: DueSchedule, changes: Changes): Promise<boolean> {
    const result = await manager
      .createQueryBuilder()
      .update(ScheduleEntity)
      .set(changes)
      .where({ id: row.id, nextRunAt: row.nextRunAt })
      .execute();
    return result.affected === 1;
  }

  private async recordRefusal(row: DueSchedule, changes: Changes, error: HoldfastError): Promise<void> {
    if (!(await this.moveOn(this.dataSource.manager, row, changes))) return;
    this.logger.warn('a schedule made no backup', {
      ...error.fields,
      ...(error.code === 'BUG' ? { stack: error.cause instanceof Error ? error.cause.stack : error.stack } : {}),
      scheduleId: row.id,
      vmId: row.vmId,
      code: error.code,
      reason: error.message,
      fireAt: row.fireAt.toISOString(),
      nextRunAt: changes.nextRunAt?.toISOString(),
    });
  }
}
