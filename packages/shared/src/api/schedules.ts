/** Backup schedules and their retention as the public API shows them. */
import { z } from 'zod';
import { backupIdSchema, scheduleIdSchema, vmIdSchema } from '../ids/ids.js';
import { CALENDAR_FORMS, cronOf } from '../policy/calendar-text.js';
import { isTimeZone } from '../policy/local-time.js';
import { retentionProblem } from '../policy/retention.js';
import { backupStateSchema, quiesceSchema } from './backups.js';
import { operationSchema } from './operations.js';
import { errorDataSchema, nameSchema, pageQuerySchema, timeSchema } from './common.js';

/** Longest jitter: a day. */
const MAX_JITTER_SECONDS = 86_400;
const MAX_KEPT = 100_000;
const kept = z.number().int().min(0).max(MAX_KEPT).optional();

export const retentionPolicySchema = z
  .strictObject({
    maxBackups: kept.describe('Keep the newest ones; either this or keep rules'),
    keepLast: kept.describe('Keep the newest ones'),
    keepHourly: kept.describe('Keep the newest of each of so many hours that have a backup'),
    keepDaily: kept.describe('The same for days, in the time zone of the schedule'),
    keepWeekly: kept.describe('The same for weeks, which begin on Monday'),
    keepMonthly: kept,
    keepYearly: kept,
  })
  .superRefine((policy, context) => {
    const problem = retentionProblem(policy);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
  });

const whenSchema = z
  .string()
  .max(255)
  .superRefine((text, context) => {
    const meaning = cronOf(text);
    if ('problem' in meaning) context.addIssue({ code: 'custom', message: `${meaning.problem}; write ${CALENDAR_FORMS}` });
  })
  .describe(`When it fires: ${CALENDAR_FORMS}`);

const timeZoneSchema = z
  .string()
  .max(64)
  .refine(isTimeZone, 'there is no such time zone; give a name like "Europe/Berlin" or "UTC"')
  .describe('IANA name; of the times in `when` and of the borders of days in `retention`');

const jitterSchema = z
  .number()
  .int()
  .min(0)
  .max(MAX_JITTER_SECONDS)
  .describe('Each run begins up to so many seconds later, so that many schedules do not all begin at once');

export const scheduleSchema = z.object({
  id: scheduleIdSchema,
  vmId: vmIdSchema,
  name: z.string(),
  when: z.string().describe('As it was written'),
  cron: z.string().describe('What it means: minute, hour, day of the month, month, day of the week'),
  timeZone: z.string(),
  jitterSeconds: z.number().int(),
  quiesce: quiesceSchema,
  isolated: z.boolean(),
  retention: retentionPolicySchema.optional().describe('Absent: every backup is kept'),
  enabled: z.boolean(),
  catchUp: z.boolean(),
  idleReason: z.string().optional().describe('Why it does not fire at present'),
  nextRunAt: timeSchema.optional().describe('Jitter included. Absent: it is not enabled'),
  lastRunAt: timeSchema.optional().describe('When it last asked for a backup, or was refused one'),
  lastBackupId: backupIdSchema.optional(),
  lastBackupState: backupStateSchema.optional(),
  lastError: errorDataSchema.optional().describe('Why the last run made no backup, or the last retention failed'),
  createdAt: timeSchema,
});
export type Schedule = z.infer<typeof scheduleSchema>;

export const createScheduleSchema = z.object({
  name: nameSchema.describe('Unique among the schedules of the VM'),
  when: whenSchema,
  timeZone: timeZoneSchema.default('UTC'),
  jitterSeconds: jitterSchema.default(0),
  quiesce: quiesceSchema.default('no'),
  isolated: z.boolean().default(false),
  retention: retentionPolicySchema.optional().describe('Absent: every backup is kept'),
  enabled: z.boolean().default(true),
  catchUp: z
    .boolean()
    .default(true)
    .describe('A run that could not be made at its time is made once, as soon as it can be; otherwise it is left out'),
});
export type CreateSchedule = z.infer<typeof createScheduleSchema>;

export const updateScheduleSchema = z.object({
  name: nameSchema.optional(),
  when: whenSchema.optional(),
  timeZone: timeZoneSchema.optional(),
  jitterSeconds: jitterSchema.optional(),
  quiesce: quiesceSchema.optional(),
  isolated: z.boolean().optional(),
  retention: retentionPolicySchema.nullable().optional().describe('null: every backup is kept'),
  enabled: z.boolean().optional(),
  catchUp: z.boolean().optional(),
});
export type UpdateSchedule = z.infer<typeof updateScheduleSchema>;

export const listSchedulesSchema = pageQuerySchema.extend({ vmId: vmIdSchema.optional() });
export type ListSchedules = z.infer<typeof listSchedulesSchema>;

/** What the retention of a schedule says of one of its backups. */
export const retentionVerdictSchema = z.object({
  backupId: backupIdSchema,
  name: z.string(),
  frozenAt: timeSchema,
  keep: z.boolean(),
  reasons: z.array(z.string()).describe('Why it stays, or why no rule keeps it'),
});
export type RetentionVerdict = z.infer<typeof retentionVerdictSchema>;

export const applyRetentionSchema = z.object({ dryRun: z.boolean().default(false) });
export type ApplyRetention = z.infer<typeof applyRetentionSchema>;
export const appliedRetentionSchema = z.object({
  retention: z.array(retentionVerdictSchema).describe('Newest first'),
  operation: operationSchema.optional().describe('The deletion of what goes; absent: nothing goes, or dryRun'),
});
export type AppliedRetention = z.infer<typeof appliedRetentionSchema>;

export const previewScheduleSchema = createScheduleSchema
  .omit({ name: true, quiesce: true, isolated: true, enabled: true, catchUp: true })
  .extend({ scheduleId: scheduleIdSchema.optional().describe('The schedule that this would change: its backups are judged') });
export type PreviewSchedule = z.infer<typeof previewScheduleSchema>;

export const schedulePreviewSchema = z.object({
  cron: z.string(),
  runs: z
    .array(z.object({ at: timeSchema, local: z.string().describe('The same moment in the time zone, with its offset') }))
    .describe('The next ones, without jitter'),
  retention: z.array(retentionVerdictSchema).describe('Of the backups that the schedule has now; newest first'),
});
export type SchedulePreview = z.infer<typeof schedulePreviewSchema>;
