/** `holdfast vm …` */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { SupersededFile, Vm, Volume } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { CliError } from '../errors/cli-error.js';
import { find } from '../api/resolve.js';
import { finishCommand } from '../operations/finish-command.js';
import { planText } from '../output/operation-text.js';
import { bytes, errorLine, printable, table, time } from '../output/text.js';
import { vmText } from '../output/vm-text.js';
import { examples, type Shell } from './command-group.js';

export function addVmCommands({ program, run }: Shell): void {
  const vm = program.command('vm').description('VMs, as the agents of the hosts see them');

  vm.command('list')
    .description('List VMs')
    .option('--zone <zone>', 'only those of this zone (name or id)')
    .option('--host <host>', 'only those on this host (name or id)')
    .action(
      run<{ zone?: string; host?: string }>(async ({ api, print }, _args, options) => {
        const zoneId = options.zone === undefined ? undefined : (await find.zone(api, options.zone)).id;
        const hostId = options.host === undefined ? undefined : (await find.host(api, options.host)).id;
        const vms = await api.list<Vm>('/vms', { zoneId, hostId });
        print(vms, () =>
          table(
            ['NAME', 'POWER', 'PROTECTION', 'OFFERING', 'LAST BACKUP', 'PROBLEMS', 'ID'],
            vms.map((one) => [
              one.name,
              one.powerState,
              one.protectionState,
              one.offeringId ?? '-',
              time(one.lastBackupAt),
              one.problems.map((problem) => problem.code).join(', ') || '-',
              one.id,
            ]),
            'No VMs. They appear when their host has joined: holdfast host list',
          ),
        );
      }),
    );

  vm.command('show <vm>')
    .description('Show one VM: state, problems, its chains on primary and on secondary storage')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const one = await find.vm(api, nameOrId);
        const [volumes, backups] = await Promise.all([
          api.get<{ items: Volume[] }>(`/vms/${one.id}/volumes`),
          api.list<Backup>('/backups', { vmId: one.id }),
        ]);
        print({ ...one, volumes: volumes.items, backups }, () => vmText(one, volumes.items, backups));
      }),
    );

  vm.command('volumes <vm>')
    .description('List the volumes of a VM with their layers')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const { items } = await api.get<{ items: Volume[] }>(`/vms/${(await find.vm(api, nameOrId)).id}/volumes`);
        print(items, () =>
          table(
            ['TARGET', 'SIZE', 'ATTACHED', 'LAYERS', 'ACTIVE FILE', 'CANNOT BE BACKED UP', 'ID'],
            items.map((one) => [
              one.target,
              bytes(one.virtualSizeBytes),
              one.attached ? 'yes' : 'no',
              String(one.layers.length),
              one.layers[0]?.path ?? '-',
              errorLine(one.refusal) ?? '-',
              one.id,
            ]),
            'No volumes.',
          ),
        );
      }),
    );

  vm.command('owner <vm> [account]')
    .description('Give a VM to an account, whose keys then see and back it up; without an account: administrators only')
    .addHelpText('after', examples('holdfast vm owner web-1 shop', 'holdfast vm owner web-1'))
    .action(
      run(async ({ api, print }, [vmNameOrId = '', accountNameOrId]) => {
        const one = await find.vm(api, vmNameOrId);
        const account = accountNameOrId === undefined ? null : await find.account(api, accountNameOrId);
        const changed = await api.patch<Vm>(`/vms/${one.id}`, { accountId: account?.id ?? null });
        print(
          changed,
          () =>
            `VM ${printable(one.name)} belongs to ${account === null ? 'nobody: administrators only' : `account ${account.name}`}.\n`,
        );
      }),
    );

  vm.command('assign <vm> <offering>')
    .description('Give a VM an offering; it can then be backed up')
    .addHelpText('after', examples('holdfast vm assign web-1 gold'))
    .action(
      run(async ({ api, print }, [vmNameOrId = '', offeringNameOrId = '']) => {
        const [one, offering] = [await find.vm(api, vmNameOrId), await find.offering(api, offeringNameOrId)];
        const changed = await api.put<Vm>(`/vms/${one.id}/backup-offering`, { offeringId: offering.id });
        print(changed, () => `VM ${printable(one.name)} has the offering ${offering.name}.\n`);
      }),
    );

  vm.command('unassign <vm>')
    .description("Take a VM's offering away: its chain ends and its deltas are merged; backups stay")
    .option('--wait', 'until the deltas are merged')
    .action(
      run<{ wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const one = await find.vm(context.api, nameOrId);
        const operation = await context.api.delete<Operation | undefined>(`/vms/${one.id}/backup-offering`);
        const done = (): string => `VM ${printable(one.name)} has no offering any more.\n`;
        if (operation === undefined) context.print({ vmId: one.id }, done);
        else await finishCommand(context, operation, { wait: options.wait, done });
      }),
    );

  vm.command('finish-chain <vm>')
    .description('End the chain of a VM and bring its disks to rest: merge what is left, remove what was never published')
    .option('--dry-run', 'look and say what would be done; changes nothing')
    .option('--wait', 'until it is done')
    .addHelpText('after', examples('holdfast vm finish-chain web-1 --dry-run', 'holdfast vm finish-chain web-1 --wait'))
    .action(
      run<{ dryRun?: boolean; wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const one = await find.vm(context.api, nameOrId);
        const dryRun = options.dryRun === true;
        const operation = await context.api.post<Operation>(`/vms/${one.id}/actions/finish-backup-chain`, { dryRun });
        await finishCommand(context, operation, {
          wait: options.wait === true || dryRun,
          done: (finished) =>
            planText(finished) + (dryRun ? 'Nothing was changed.\n' : `The chain of ${printable(one.name)} has ended.\n`),
        });
      }),
    );

  vm.command('superseded <vm>')
    .description('List the files that restores and volumes that moved left behind')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const { items } = await api.get<{ items: SupersededFile[] }>(
          `/vms/${(await find.vm(api, nameOrId)).id}/superseded-files`,
        );
        print(items, () =>
          table(
            ['PATH', 'SINCE', 'HOST', 'RELEASED', 'ID'],
            items.map((one) => [
              ...[one.path, time(one.supersededAt), one.hostId],
              one.byNameOnly ? 'by its id alone' : 'with --all, too',
              one.id,
            ]),
            'No superseded files.',
          ),
        );
      }),
    );

  vm.command('release <vm> [file-id]')
    .description(
      'Delete left-behind files, after proving that nothing uses them: one, or with --all every one on a host that a restore left',
    )
    .option('--all', 'all of one host, but not the former layers of volumes whose disk is another file now')
    .option('--wait', 'until it is done')
    .addHelpText('after', examples('holdfast vm superseded web-1', 'holdfast vm release web-1 --all --wait'))
    .action(
      run<{ all?: boolean; wait?: boolean }>(async (context, [nameOrId = '', fileId], options) => {
        if ((fileId === undefined) !== (options.all === true))
          throw new CliError('INVALID_INPUT', 'Say which file to release, or --all. See: holdfast vm superseded VM');
        const one = await find.vm(context.api, nameOrId);
        const files = `/vms/${one.id}/superseded-files`;
        const operation = await context.api.delete<Operation>(
          fileId === undefined ? files : `${files}/${encodeURIComponent(fileId)}`,
        );
        await finishCommand(context, operation, { wait: options.wait, done: () => 'Deleted.\n' });
      }),
    );
}
