/** What the retention of a schedule has to judge: its backups that exist and that nobody has deleted. */
import type { EntityManager } from 'typeorm';
import type { RetentionVerdict } from '@holdfast/shared/api/schedules.js';
import type { BackupId } from '@holdfast/shared/ids/ids.js';
import { decideRetention, type RetentionPolicy } from '@holdfast/shared/policy/retention.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';

/** One verdict per backup of the schedule, newest first. */
export async function retentionVerdicts(
  manager: EntityManager,
  scheduleId: string,
  policy: RetentionPolicy,
  timeZone: string,
): Promise<RetentionVerdict[]> {
  const rows = await manager.findBy(BackupEntity, { scheduleId, state: 'BackedUp' });
  const frozen = rows.flatMap((row) => (row.frozenAt === null ? [] : [{ ...row, frozenAt: row.frozenAt }]));
  const byId = new Map(frozen.map((row) => [row.id, row]));
  const judged = frozen.map(({ id, frozenAt }) => ({ id, frozenAt, protected: false }));
  return decideRetention(judged, policy, timeZone).map(({ id, keep, reasons }) => ({
    backupId: id as BackupId,
    name: byId.get(id)?.name ?? '',
    frozenAt: (byId.get(id)?.frozenAt ?? new Date(0)).toISOString(),
    keep,
    reasons: [...reasons],
  }));
}
