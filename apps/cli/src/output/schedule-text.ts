/** Schedules for people: lists, one in full, next runs, and what retention would do. Pure. */
import type { RetentionVerdict, Schedule, SchedulePreview } from '@holdfast/shared/api/schedules.js';
import { errorLine, keyValues, printable, table, time } from './text.js';

export function scheduleTable(schedules: readonly Schedule[]): string {
  return table(
    ['NAME', 'WHEN', 'TIME ZONE', 'NEXT RUN', 'LAST RUN', 'LAST BACKUP', 'PROBLEM', 'VM', 'ID'],
    schedules.map((one) => [
      one.name,
      one.when,
      one.timeZone,
      one.idleReason === undefined ? time(one.nextRunAt) : '-',
      time(one.lastRunAt),
      one.lastBackupState ?? '-',
      one.idleReason ?? one.lastError?.code ?? '-',
      one.vmId,
      one.id,
    ]),
    'No schedules. Create one: holdfast schedule create VM NAME --when "daily at 02:00"',
  );
}

/** One schedule in full. */
export function scheduleText(one: Schedule): string {
  return keyValues([
    ['schedule', one.name],
    ['id', one.id],
    ['vm', one.vmId],
    ['when', one.when === one.cron ? one.when : `${one.when} (cron: ${one.cron})`],
    ['time zone', one.timeZone],
    ['jitter', one.jitterSeconds === 0 ? undefined : `up to ${one.jitterSeconds} s`],
    ['makes', one.isolated ? 'isolated full backups' : 'backups of the chain'],
    ['quiesce', one.quiesce],
    ['keeps', policyText(one)],
    ['missed runs', one.catchUp ? 'are made once, later' : 'are left out'],
    ['does not fire', one.idleReason],
    ['next run', time(one.nextRunAt)],
    ['last run', time(one.lastRunAt)],
    ['last backup', one.lastBackupId === undefined ? '-' : `${one.lastBackupId} ${one.lastBackupState ?? ''}`.trim()],
    ['problem', errorLine(one.lastError)],
  ]);
}

/** The next runs, and the backups with what becomes of them. */
export function previewText(preview: SchedulePreview, { jitter = 0 }: { readonly jitter?: number }): string {
  const spread = jitter === 0 ? '' : `, each up to ${jitter} s later`;
  const runs = `next runs${spread}\n${table(
    ['UTC', 'LOCAL'],
    preview.runs.map((run) => [time(run.at), run.local]),
    'none',
  )}`;
  return preview.retention.length === 0 ? runs : `${runs}\n${retentionText(preview.retention)}`;
}

/** Backups with what becomes of them and why. */
export function retentionText(verdicts: readonly RetentionVerdict[]): string {
  const gone = verdicts.filter((one) => !one.keep).length;
  const rows = verdicts.map((one) => [time(one.frozenAt), one.name, one.keep ? 'stays' : 'GOES', one.reasons.join('; ')]);
  return `retention: ${gone} of ${verdicts.length} go\n${table(['CONTENT OF', 'BACKUP', '', 'WHY'], rows, 'No backups of this schedule.')}`;
}

const RULES = {
  maxBackups: 'the newest',
  keepLast: 'the newest',
  keepHourly: 'hourly',
  keepDaily: 'daily',
  keepWeekly: 'weekly',
  keepMonthly: 'monthly',
  keepYearly: 'yearly',
} as const;

function policyText({ retention }: Schedule): string {
  if (retention === undefined) return 'everything';
  const rules = (Object.keys(RULES) as (keyof typeof RULES)[]).filter((rule) => (retention[rule] ?? 0) > 0);
  return printable(rules.map((rule) => `${RULES[rule]}: ${retention[rule]}`).join(', '));
}
