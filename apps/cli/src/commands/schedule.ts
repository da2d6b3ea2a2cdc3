/** `holdfast schedule …` */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { AppliedRetention, PreviewSchedule, Schedule, SchedulePreview } from '@holdfast/shared/api/schedules.js';
import { Option, type Command } from 'commander';
import { find } from '../api/resolve.js';
import type { CommandContext } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import { finishCommand } from '../operations/finish-command.js';
import { printable } from '../output/text.js';
import { previewText, retentionText, scheduleTable, scheduleText } from '../output/schedule-text.js';
import { wholeNumber } from './arguments.js';
import { examples, type Shell } from './command-group.js';

interface RetentionOptions {
  maxBackups?: number;
  keepLast?: number;
  keepHourly?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
  keepYearly?: number;
}
interface TimingOptions extends RetentionOptions {
  when?: string;
  timeZone?: string;
  jitter?: number;
}
interface CreateOptions extends TimingOptions {
  isolated?: boolean;
  quiesce?: string;
  catchUp: boolean;
  disabled?: boolean;
  yes?: boolean;
}
interface UpdateOptions extends TimingOptions {
  name?: string;
  isolated?: string;
  quiesce?: string;
  catchUp?: string;
  enabled?: string;
  keepEverything?: boolean;
}

const YES_OR_NO = ['yes', 'no'];

export function addScheduleCommands(shell: Shell): void {
  const { program, run } = shell;
  const schedule = program.command('schedule').description('Backups by themselves: when, and how many stay');

  withRetention(
    withTiming(schedule.command('create <vm> <name>').description('Create a schedule, after showing its next runs'), true),
  )
    .option('--isolated', 'full backups outside of the chain')
    .addOption(quiesceOption().preset('require'))
    .option('--no-catch-up', 'leave out a run that could not be made at its time; otherwise it is made once, later')
    .option('--disabled', 'create it, but let it not fire yet')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      examples(
        'holdfast schedule create web-1 nightly --when "daily at 02:00" --time-zone Europe/Berlin --keep-daily 7 --keep-weekly 4',
        'holdfast schedule create db-1 often --when "*/20 8-18 * * 1-5" --quiesce=try --max-backups 30 --yes',
      ),
    )
    .action(
      run<CreateOptions>(async (context, [vmNameOrId = '', name = ''], options) => {
        const { api, print } = context;
        const vm = await find.vm(api, vmNameOrId);
        const timing = timingOf(options);
        const preview = await api.post<SchedulePreview>(`/vms/${vm.id}/backup-schedules/preview`, timing);
        if (!context.json) context.io.out(previewText(preview, options));
        if (options.yes !== true && !(await agreed(context, `Create the schedule "${printable(name)}"?`)))
          throw new CliError('CANCELLED', 'Nothing was created.');
        const created = await api.post<Schedule>(`/vms/${vm.id}/backup-schedules`, {
          ...timing,
          name,
          isolated: options.isolated === true,
          quiesce: options.quiesce ?? 'no',
          catchUp: options.catchUp,
          enabled: options.disabled !== true,
        });
        print(created, () => `Created schedule ${printable(created.name)}: ${created.id}\n${idleLine(created)}`);
      }),
    );

  schedule
    .command('list')
    .description('List schedules')
    .option('--vm <vm>', 'only those of this VM (name or id)')
    .action(
      run<{ vm?: string }>(async ({ api, print }, _args, options) => {
        const vmId = options.vm === undefined ? undefined : (await find.vm(api, options.vm)).id;
        const schedules = await api.list<Schedule>('/backup-schedules', { vmId });
        print(schedules, () => scheduleTable(schedules));
      }),
    );

  schedule
    .command('show <schedule>')
    .description('Show one schedule: its next runs, and what its retention says of its backups now')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const one = await find.schedule(api, nameOrId);
        const { when, timeZone, jitterSeconds, retention } = one;
        const input = { when, timeZone, jitterSeconds, retention, scheduleId: one.id };
        const preview = await api.post<SchedulePreview>(`/vms/${one.vmId}/backup-schedules/preview`, input);
        print({ ...one, preview }, () => `${scheduleText(one)}\n${previewText(preview, { jitter: jitterSeconds })}`);
      }),
    );

  withRetention(
    withTiming(schedule.command('update <schedule>').description('Change a schedule; what is not given stays'), false),
  )
    .option('--name <name>', 'new name')
    .addOption(new Option('--isolated <yes or no>', 'full backups outside of the chain').choices(YES_OR_NO))
    .addOption(quiesceOption())
    .addOption(new Option('--catch-up <yes or no>', 'make a missed run once, later').choices(YES_OR_NO))
    .addOption(new Option('--enabled <yes or no>', 'no: it does not fire').choices(YES_OR_NO))
    .option('--keep-everything', 'no retention any more')
    .addHelpText(
      'after',
      examples(
        'holdfast schedule update nightly --enabled no',
        'holdfast schedule update nightly --keep-daily 14 --keep-monthly 12',
      ),
    )
    .action(
      run<UpdateOptions>(async ({ api, print }, [nameOrId = ''], options) => {
        const retention = retentionOf(options);
        if (options.keepEverything === true && retention !== undefined)
          throw new CliError('INVALID_INPUT', 'Give either --keep-everything or rules that keep some.');
        const found = await find.schedule(api, nameOrId);
        const changed = await api.patch<Schedule>(`/backup-schedules/${found.id}`, {
          ...timingOf(options),
          name: options.name,
          quiesce: options.quiesce,
          isolated: yes(options.isolated),
          catchUp: yes(options.catchUp),
          enabled: yes(options.enabled),
          retention: options.keepEverything === true ? null : retention,
        });
        print(changed, () => scheduleText(changed));
      }),
    );

  schedule
    .command('delete <schedule>')
    .description('Delete a schedule; its backups stay until they are deleted')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const found = await find.schedule(api, nameOrId);
        await api.delete(`/backup-schedules/${found.id}`);
        print({ deleted: found.id }, () => `Deleted schedule ${printable(found.name)}. Its backups stay.\n`);
      }),
    );

  withRetention(
    withTiming(
      schedule.command('preview <vm>').description('Show what a schedule would do, without creating or changing one'),
      true,
    ),
  )
    .option('--schedule <schedule>', 'judge the backups of this one (name or id)')
    .addHelpText(
      'after',
      examples('holdfast schedule preview web-1 --when "monthly on last at 02:00" --schedule nightly --keep-monthly 6'),
    )
    .action(
      run<TimingOptions & { schedule?: string }>(async ({ api, print }, [vmNameOrId = ''], options) => {
        const vm = await find.vm(api, vmNameOrId);
        const scheduleId = options.schedule === undefined ? undefined : (await find.schedule(api, options.schedule)).id;
        const input = { ...timingOf(options), scheduleId };
        const preview = await api.post<SchedulePreview>(`/vms/${vm.id}/backup-schedules/preview`, input);
        print(preview, () => previewText(preview, options));
      }),
    );

  schedule
    .command('run <schedule>')
    .description('Make a backup as the schedule makes them, now; its next run stays')
    .option('--wait', 'until it is published, with progress')
    .action(
      run<{ wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const found = await find.schedule(context.api, nameOrId);
        const operation = await context.api.post<Operation>(`/backup-schedules/${found.id}/actions/run`);
        await finishCommand(context, operation, { wait: options.wait, done: () => 'Backed up.\n' });
      }),
    );
  addPruneCommand(shell, schedule);
}

function addPruneCommand({ run }: Shell, schedule: Command): void {
  schedule
    .command('prune <schedule>')
    .description('Delete what no rule of the schedule keeps, now; it happens by itself after each of its backups')
    .option('--dry-run', 'only say what would go, and why')
    .option('--wait', 'until the files are gone, with progress')
    .addHelpText('after', examples('holdfast schedule prune nightly --dry-run'))
    .action(
      run<{ dryRun?: boolean; wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const found = await find.schedule(context.api, nameOrId);
        const path = `/backup-schedules/${found.id}/actions/apply-retention`;
        const applied = await context.api.post<AppliedRetention>(path, { dryRun: options.dryRun === true });
        const text = retentionText(applied.retention);
        if (applied.operation === undefined) {
          context.print(applied, () => `${text}Nothing was deleted.\n`);
          return;
        }
        if (!context.json) context.io.out(text);
        await finishCommand(context, applied.operation, { wait: options.wait, done: () => 'Deleted.\n' });
      }),
    );
}

function withTiming(command: Command, whenRequired: boolean): Command {
  const when = new Option(
    '--when <text>',
    '"hourly at :15", "daily at 02:00", "weekly on monday at 02:00", "monthly on last at 02:00", or five cron fields',
  );
  return command
    .addOption(whenRequired ? when.makeOptionMandatory() : when)
    .option('--time-zone <zone>', 'of these times and of the borders of days, like Europe/Berlin; default: UTC')
    .option('--jitter <seconds>', 'begin up to so much later, by chance', (text) => wholeNumber(text, 0));
}

function withRetention(command: Command): Command {
  const count = (text: string): number => wholeNumber(text, 0);
  return command
    .option('--max-backups <n>', 'keep the newest n; either this or --keep-…', count)
    .option('--keep-last <n>', 'keep the newest n', count)
    .option('--keep-hourly <n>', 'keep the newest of each of n hours that have one', count)
    .option('--keep-daily <n>', 'the same for days', count)
    .option('--keep-weekly <n>', 'the same for weeks', count)
    .option('--keep-monthly <n>', 'the same for months', count)
    .option('--keep-yearly <n>', 'the same for years', count);
}

function quiesceOption(): Option {
  return new Option('--quiesce [mode]', 'freeze the file systems through the guest agent').choices(['require', 'try', 'no']);
}

function retentionOf(options: RetentionOptions): RetentionOptions | undefined {
  const { maxBackups, keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = options;
  const rules = { maxBackups, keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly };
  return Object.values(rules).some((value) => value !== undefined) ? rules : undefined;
}

function timingOf(options: TimingOptions): Partial<PreviewSchedule> {
  const { when, timeZone, jitter } = options;
  return { when, timeZone, jitterSeconds: jitter, retention: retentionOf(options) };
}

/** Asks on a terminal; without one, the command itself is the answer. */
async function agreed({ io }: CommandContext, question: string): Promise<boolean> {
  const answer = await io.ask(`${question} [y/N] `);
  return answer === undefined || /^y(es)?$/i.test(answer.trim());
}

function yes(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : text === 'yes';
}

function idleLine(schedule: Schedule): string {
  return schedule.idleReason === undefined ? '' : `It does not fire yet: ${printable(schedule.idleReason)}.\n`;
}
