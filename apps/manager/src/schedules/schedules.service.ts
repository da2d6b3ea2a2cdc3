/** Backup schedules as callers see them. A schedule belongs to its VM: who may see the one may see the other. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, type EntityManager } from 'typeorm';
import type { Page } from '@holdfast/shared/api/common.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type {
  ApplyRetention,
  CreateSchedule,
  ListSchedules,
  PreviewSchedule,
  Schedule,
  SchedulePreview,
  UpdateSchedule,
} from '@holdfast/shared/api/schedules.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { localClock, localIso } from '@holdfast/shared/policy/local-time.js';
import { maySee, type Caller } from '../access/caller.js';
import { BackupsService } from '../backups/backups.service.js';
import { AuditLog } from '../events/audit-log.js';
import { requireVm } from '../inventory/vm-lookup.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { ScheduleEntity } from '../persistence/entities/schedule.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { idCursorOf, pageOf } from '../persistence/paging.js';
import { violatedUnique } from '../persistence/violations.js';
import { Clock } from '../platform/clock.js';
import { gone } from '../vms/vms.service.js';
import { RetentionService, type AppliedRetention } from './retention.service.js';
import { ScheduleTimes, type Timing } from './schedule-times.js';
import { backupWish, scheduleView } from './schedule-view.js';

const RUNS_SHOWN = 5;

@Injectable()
export class SchedulesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly backups: BackupsService,
    private readonly retention: RetentionService,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /** INVALID_INPUT for times that never come, WRONG_STATE for a VM that is gone, NAME_TAKEN. A VM without an offering may have schedules: they wait, and say so. */
  async create(caller: Caller, vmId: string, input: CreateSchedule): Promise<Schedule> {
    const vm = await requireVm(this.dataSource.manager, caller, vmId);
    if (vm.powerState === 'Gone') throw gone(vm);
    const id = this.clock.newId();
    const { retention, ...plain } = input;
    const row = {
      id,
      vmId,
      ...plain,
      retention: retention ?? null,
      ...this.nextRun(id, input, input.enabled),
      createdAt: this.clock.now(),
    };
    await refuseTakenName(row.name, () => this.dataSource.manager.insert(ScheduleEntity, row));
    this.audit.changed(caller, 'schedule.create', { scheduleId: id, vmId, name: row.name });
    return this.get(caller, id);
  }

  /** By id. A user sees those of its own account's VMs. */
  async list(caller: Caller, query: ListSchedules): Promise<Page<Schedule>> {
    const after = idCursorOf(query);
    const find = this.dataSource.manager
      .createQueryBuilder(ScheduleEntity, 's')
      .innerJoin(VmEntity, 'v', 'v.id = s.vm_id')
      .orderBy('s.id', 'ASC')
      .limit(query.limit + 1);
    if (caller.role !== 'admin') find.andWhere('v.account_id = :account', { account: caller.accountId });
    if (query.vmId !== undefined) find.andWhere('s.vm_id = :vm', { vm: query.vmId });
    if (after !== undefined) find.andWhere('s.id::text > :after', { after });
    const rows = await find.getMany();
    const views = new Map((await this.views(rows)).map((view) => [view.id as string, view]));
    return pageOf(
      rows,
      query.limit,
      (row) => row.id,
      (row) => views.get(row.id) as Schedule,
    );
  }

  async get(caller: Caller, scheduleId: string): Promise<Schedule> {
    const row = await this.require(this.dataSource.manager, caller, scheduleId);
    return (await this.views([row]))[0] as Schedule;
  }

  /** What is left out stays. The next run is found anew only when its time may have changed. */
  async update(caller: Caller, scheduleId: string, input: UpdateSchedule): Promise<Schedule> {
    await this.dataSource.transaction(async (tx) => {
      await this.require(tx, caller, scheduleId);
      const row = await tx.findOne(ScheduleEntity, { where: { id: scheduleId }, lock: { mode: 'pessimistic_write' } });
      if (row === null) throw noSchedule(scheduleId);
      const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as UpdateSchedule;
      const changed = { ...row, ...given };
      const sameTimes =
        changed.when === row.when &&
        changed.timeZone === row.timeZone &&
        changed.jitterSeconds === row.jitterSeconds &&
        changed.enabled === row.enabled;
      const next = sameTimes ? {} : this.nextRun(scheduleId, changed, changed.enabled);
      if (Object.keys(given).length > 0)
        await refuseTakenName(changed.name, () => tx.update(ScheduleEntity, { id: scheduleId }, { ...given, ...next }));
    });
    this.audit.changed(caller, 'schedule.update', { scheduleId });
    return this.get(caller, scheduleId);
  }

  /** Its backups stay; nothing removes them by themselves any more. */
  async delete(caller: Caller, scheduleId: string): Promise<void> {
    const row = await this.require(this.dataSource.manager, caller, scheduleId);
    await this.dataSource.manager.delete(ScheduleEntity, { id: scheduleId });
    this.audit.changed(caller, 'schedule.delete', { scheduleId, vmId: row.vmId, name: row.name });
  }

  /** What a schedule would do: its next runs, and what its retention says of the backups of `scheduleId`. Changes nothing. */
  async preview(caller: Caller, vmId: string, input: PreviewSchedule): Promise<SchedulePreview> {
    const manager = this.dataSource.manager;
    await requireVm(manager, caller, vmId);
    const { scheduleId } = input;
    if (scheduleId !== undefined && (await this.require(manager, caller, scheduleId)).vmId !== vmId) throw noSchedule(scheduleId);
    const now = this.clock.now();
    const times = ScheduleTimes.of(input, now);
    const local = localClock(input.timeZone);
    return {
      cron: times.cron,
      runs: times.after(now, RUNS_SHOWN).map((at) => ({ at: at.toISOString(), local: localIso(local(at)) })),
      retention:
        scheduleId === undefined
          ? []
          : await this.retention.judge({ id: scheduleId, vmId }, input.retention ?? null, input.timeZone),
    };
  }

  /** A backup as the schedule makes them, now. Its next run stays. */
  async run(caller: Caller, scheduleId: string): Promise<Operation> {
    const row = await this.require(this.dataSource.manager, caller, scheduleId);
    return this.backups.create(caller, row.vmId, backupWish(row), scheduleId);
  }

  /** Applies its retention now, as it is after each of its backups. With `dryRun` only the verdicts. */
  async applyRetention(caller: Caller, scheduleId: string, input: ApplyRetention): Promise<AppliedRetention> {
    const row = await this.require(this.dataSource.manager, caller, scheduleId);
    if (input.dryRun) return { retention: await this.retention.judge(row, row.retention, row.timeZone), operation: undefined };
    const applied = await this.retention.apply(row);
    const operationId = applied.operation?.id ?? '';
    this.audit.changed(caller, 'schedule.apply-retention', { scheduleId, vmId: row.vmId, operationId });
    return applied;
  }

  private nextRun(scheduleId: string, timing: Timing, enabled: boolean): { fireAt: Date | null; nextRunAt: Date | null } {
    const now = this.clock.now();
    const next = ScheduleTimes.of(timing, now).next(scheduleId, now);
    return { fireAt: (enabled && next?.fireAt) || null, nextRunAt: (enabled && next?.runAt) || null };
  }

  private async require(manager: EntityManager, caller: Caller, scheduleId: string): Promise<ScheduleEntity> {
    const row = await manager.findOneBy(ScheduleEntity, { id: scheduleId });
    const vm = row === null ? null : await manager.findOneBy(VmEntity, { id: row.vmId });
    if (row === null || vm === null || !maySee(caller, vm.accountId)) throw noSchedule(scheduleId);
    return row;
  }

  private async views(rows: readonly ScheduleEntity[]): Promise<Schedule[]> {
    const manager = this.dataSource.manager;
    const vms = new Map((await manager.findBy(VmEntity, { id: In(rows.map((row) => row.vmId)) })).map((vm) => [vm.id, vm]));
    const backupIds = rows.flatMap((row) => row.lastBackupId ?? []);
    const backups = await manager.find(BackupEntity, { select: { id: true, state: true }, where: { id: In(backupIds) } });
    const states = new Map(backups.map((backup) => [backup.id, backup.state]));
    return rows.flatMap((row) => {
      const vm = vms.get(row.vmId);
      return vm === undefined ? [] : [scheduleView(row, vm, states.get(row.lastBackupId ?? ''))];
    });
  }
}

function noSchedule(scheduleId: string): HoldfastError {
  return new HoldfastError(
    'NOT_FOUND',
    `There is no backup schedule ${scheduleId}. List the backup schedules to see their ids.`,
    { scheduleId },
  );
}

async function refuseTakenName(name: string, write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (violatedUnique(error) === undefined) throw error;
    throw new HoldfastError('NAME_TAKEN', `The VM already has a backup schedule named "${name}". Choose another name.`, { name });
  }
}
