/** What a new backup means for the retention of the schedule that made it. */
import { IsNull, Not, type EntityManager } from 'typeorm';
import type { BackupEntity } from '../persistence/entities/backup.entities.js';
import { ScheduleEntity } from '../persistence/entities/schedule.entity.js';

/** The backups of its schedule are judged anew, if they are judged at all. In the transaction that makes it BackedUp. */
export async function noteRetention(manager: EntityManager, { scheduleId }: BackupEntity, now: Date): Promise<void> {
  if (scheduleId === null) return;
  await manager.update(ScheduleEntity, { id: scheduleId, retention: Not(IsNull()) }, { retentionDueAt: now });
}
