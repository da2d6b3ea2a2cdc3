/** `holdfast backup …` */
import { backupStateSchema, type Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { Option } from 'commander';
import { find } from '../api/resolve.js';
import { finishCommand } from '../operations/finish-command.js';
import { backupSummary, backupTable, backupText } from '../output/backup-text.js';
import { printable } from '../output/text.js';
import { addDeleteBackupCommands } from './backup-delete.js';
import { addBackupCompactCommand } from './backup-compact.js';
import { examples, type Shell } from './command-group.js';
import { quiesceOption } from './quiesce-option.js';

interface CreateOptions {
  name?: string;
  description: string;
  isolated?: boolean;
  quiesce?: string;
  wait?: boolean;
}

export function addBackupCommands(shell: Shell): void {
  const { program, run } = shell;
  const backup = program.command('backup').description('Backups: take, look at, restore, delete');

  backup
    .command('create <vm>')
    .description('Back up a VM, running or stopped')
    .option('--name <name>', 'default: name of the VM and the time')
    .option('--description <text>', 'for people', '')
    .option('--isolated', 'a full backup outside of the chain')
    .addOption(quiesceOption())
    .option('--wait', 'until it is published, with progress')
    .addHelpText(
      'after',
      examples(
        'holdfast backup create web-1 --wait',
        'holdfast backup create web-1 --quiesce=try --name before-upgrade',
        'holdfast --output json backup create web-1 --isolated --wait | jq -r .backupId',
      ),
    )
    .action(
      run<CreateOptions>(async (context, [nameOrId = ''], options) => {
        const vm = await find.vm(context.api, nameOrId);
        const operation = await context.api.post<Operation>(`/vms/${vm.id}/backups`, {
          name: options.name,
          description: options.description,
          isolated: options.isolated === true,
          quiesce: options.quiesce ?? 'no',
        });
        await finishCommand(context, operation, {
          wait: options.wait,
          done: async ({ backupId }) => backupSummary(await context.api.get<Backup>(`/backups/${backupId}`)),
        });
      }),
    );

  backup
    .command('list')
    .description('List backups, drawn as chains')
    .option('--vm <vm>', 'only those of this VM (name or id)')
    .option('--storage <storage>', 'only those on this storage (name or id)')
    .addOption(new Option('--state <state>', 'only those in this state').choices(backupStateSchema.options))
    .action(
      run<{ vm?: string; storage?: string; state?: string }>(async ({ api, print }, _args, options) => {
        const vmId = options.vm === undefined ? undefined : (await find.vm(api, options.vm)).id;
        const storageId = options.storage === undefined ? undefined : (await find.storage(api, options.storage)).id;
        const backups = await api.list<Backup>('/backups', { vmId, storageId, state: options.state });
        print(backups, () => backupTable(backups));
      }),
    );

  backup
    .command('show <backup>')
    .description('Show one backup: volumes, files, digests, why it is full')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const one = await find.backup(api, nameOrId);
        print(one, () => backupText(one));
      }),
    );

  backup
    .command('restore <backup>')
    .description('Restore a stopped VM to a backup; its present files stay until they are released')
    .option('--host <host>', 'where to define a VM that is gone (name or id); default: where it was')
    .option('--accept-damaged', 'restore although a digest does not match')
    .option('--drop-snapshots', 'let the snapshots of the VM go; their files are kept with its former files')
    .option('--wait', 'until the VM is switched to the restored files, with progress')
    .addHelpText('after', examples('holdfast backup restore 3e0b6c2a-… --wait', 'holdfast vm superseded web-1'))
    .action(
      run<{ host?: string; acceptDamaged?: boolean; dropSnapshots?: boolean; wait?: boolean }>(
        async (context, [nameOrId = ''], options) => {
          const one = await find.backup(context.api, nameOrId);
          const hostId = options.host === undefined ? undefined : (await find.host(context.api, options.host)).id;
          const operation = await context.api.post<Operation>(`/backups/${one.id}/actions/restore`, {
            acceptDamaged: options.acceptDamaged === true,
            dropSnapshots: options.dropSnapshots === true,
            hostId,
          });
          await finishCommand(context, operation, {
            wait: options.wait,
            done: () =>
              `VM ${printable(one.vmName)} is restored to backup ${printable(one.name)}.\n` +
              `Its former files are kept: holdfast vm superseded ${one.vmId}\n`,
          });
        },
      ),
    );

  addDeleteBackupCommands(backup, shell);
  addBackupCompactCommand(backup, shell);
}
