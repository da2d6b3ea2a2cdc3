/** Schedule rows as the public API shows them, and as the backups that they ask for. Pure. */
import type { BackupState, CreateBackup } from '@holdfast/shared/api/backups.js';
import type { Schedule } from '@holdfast/shared/api/schedules.js';
import type { BackupId, ScheduleId, VmId } from '@holdfast/shared/ids/ids.js';
import { cronOf } from '@holdfast/shared/policy/calendar-text.js';
import { errorView } from '../inventory/vm-view.js';
import type { ScheduleEntity } from '../persistence/entities/schedule.entity.js';
import type { VmEntity } from '../persistence/entities/vm.entities.js';
import { idleReason } from './decide-run.js';

export function scheduleView(row: ScheduleEntity, vm: VmEntity, lastBackupState: BackupState | undefined): Schedule {
  const meaning = cronOf(row.when);
  const idle = idleReason(row, vm);
  return {
    id: row.id as ScheduleId,
    vmId: row.vmId as VmId,
    name: row.name,
    when: row.when,
    cron: 'cron' in meaning ? meaning.cron : '',
    timeZone: row.timeZone,
    jitterSeconds: row.jitterSeconds,
    quiesce: row.quiesce,
    isolated: row.isolated,
    ...(row.retention === null ? {} : { retention: row.retention }),
    enabled: row.enabled,
    catchUp: row.catchUp,
    ...(idle === undefined ? {} : { idleReason: idle }),
    ...(row.nextRunAt === null ? {} : { nextRunAt: row.nextRunAt.toISOString() }),
    ...(row.lastRunAt === null ? {} : { lastRunAt: row.lastRunAt.toISOString() }),
    ...(row.lastBackupId === null ? {} : { lastBackupId: row.lastBackupId as BackupId }),
    ...(lastBackupState === undefined ? {} : { lastBackupState }),
    ...(row.lastError === null ? {} : { lastError: errorView(row.lastError) }),
    createdAt: row.createdAt.toISOString(),
  };
}

/** The backup that a schedule asks for. */
export function backupWish(row: ScheduleEntity): CreateBackup {
  return { description: '', isolated: row.isolated, quiesce: row.quiesce };
}
