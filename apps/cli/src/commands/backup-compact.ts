/** `holdfast backup compact` */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Command } from 'commander';
import { find } from '../api/resolve.js';
import { finishCommand } from '../operations/finish-command.js';
import { backupSummary } from '../output/backup-text.js';
import { examples, type Shell } from './command-group.js';

export function addBackupCompactCommand(backup: Command, { run }: Shell): void {
  backup
    .command('compact <backup>')
    .description('Give back the space of the deleted backup below this one: the two are merged on storage')
    .option('--wait', 'until the files are merged, with progress')
    .addHelpText(
      'after',
      examples('holdfast backup compact 3e0b6c2a-… --wait', 'holdfast setting set backup.compaction.enabled true'),
    )
    .action(
      run<{ wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const one = await find.backup(context.api, nameOrId);
        const operation = await context.api.post<Operation>(`/backups/${one.id}/actions/compact`, {});
        await finishCommand(context, operation, {
          wait: options.wait,
          done: async () => backupSummary(await context.api.get<Backup>(`/backups/${one.id}`)),
        });
      }),
    );
}
