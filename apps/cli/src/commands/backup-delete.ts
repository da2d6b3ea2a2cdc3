/** `holdfast backup delete · protect · unprotect · usage` */
import type { Backup, Deletion, Usage } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Command } from 'commander';
import type { ApiClient } from '../api/api-client.js';
import { find } from '../api/resolve.js';
import type { CommandContext } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import { OperationFailed } from '../operations/finish-command.js';
import { watchOperation } from '../operations/watch-operation.js';
import { deletionText, usageTable } from '../output/deletion-text.js';
import { printable } from '../output/text.js';
import { examples, type Shell } from './command-group.js';

interface DeleteOptions {
  all?: string;
  forced?: boolean;
  dryRun?: boolean;
  wait?: boolean;
}

export function addDeleteBackupCommands(backup: Command, { run }: Shell): void {
  backup
    .command('delete [backups...]')
    .description('Delete backups. One that others need is taken from sight; its files go with the last that needs them')
    .option('--all <vm>', 'all backups of this VM (name or id)')
    .option('--forced', 'what depends on them goes too; look at it with --dry-run first')
    .option('--dry-run', 'only say what would go and what would stay')
    .option('--wait', 'until the files are gone, with progress')
    .addHelpText(
      'after',
      examples(
        'holdfast backup delete 3e0b6c2a-… --dry-run',
        'holdfast backup delete 3e0b6c2a-… --forced --wait',
        'holdfast backup delete --all web-1',
      ),
    )
    .action(
      // Variadic: all names come as one argument.
      run<DeleteOptions>(async (context, [names], options) => {
        const which = await chosen(context.api, (names ?? []) as unknown as readonly string[], options.all);
        const wish = { forced: options.forced === true, dryRun: options.dryRun === true };
        const answer = await context.api.post<Deletion>('/backups/actions/delete', { ...which, ...wish });
        await finish(context, answer, options.wait === true);
      }),
    );

  for (const [word, value] of [
    ['protect', true],
    ['unprotect', false],
  ] as const) {
    backup
      .command(`${word} <backup>`)
      .description(value ? 'Keep a backup: neither people nor retention can delete it' : 'Let a backup be deleted again')
      .action(
        run(async ({ api, print }, [nameOrId = '']) => {
          const { id } = await find.backup(api, nameOrId);
          const one = await api.patch<Backup>(`/backups/${id}`, { protected: value });
          print(one, () => `${printable(one.name)} is ${value ? '' : 'not '}protected.\n`);
        }),
      );
  }

  backup
    .command('usage')
    .description('What backups take on storages, by account; counted until their files are gone')
    .option('--vm <vm>', 'only those of this VM (name or id)')
    .option('--storage <storage>', 'only those on this storage (name or id)')
    .action(
      run<{ vm?: string; storage?: string }>(async ({ api, print }, _args, options) => {
        const vmId = options.vm === undefined ? undefined : (await find.vm(api, options.vm)).id;
        const storageId = options.storage === undefined ? undefined : (await find.storage(api, options.storage)).id;
        const { items } = await api.get<{ items: Usage[] }>('/usage', { vmId, storageId });
        print(items, () => usageTable(items));
      }),
    );
}

async function chosen(api: ApiClient, names: readonly string[], all: string | undefined): Promise<object> {
  if ((all === undefined) === (names.length === 0))
    throw new CliError('INVALID_INPUT', 'Name the backups to delete, or give --all <vm>.');
  if (all !== undefined) return { vmId: (await find.vm(api, all)).id, all: true };
  const ids: string[] = [];
  for (const name of names) ids.push((await find.backup(api, name)).id);
  return { ids };
}

/** The plan is shown in any case; with --wait the end of every operation too. The first that failed decides the exit code. */
async function finish(context: CommandContext, answer: Deletion, wait: boolean): Promise<void> {
  if (!wait || answer.operations.length === 0) {
    context.print(answer, () => deletionText(answer));
    return;
  }
  if (!context.json) context.io.out(deletionText({ ...answer, operations: [] }));
  const finished: Operation[] = [];
  for (const operation of answer.operations) finished.push(await watchOperation(context, operation));
  context.print({ ...answer, operations: finished }, () => '');
  const failed = finished.find(({ state }) => state !== 'Succeeded');
  if (failed !== undefined) throw new OperationFailed(failed);
}
