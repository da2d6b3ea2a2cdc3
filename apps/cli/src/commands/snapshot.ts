/** `holdfast snapshot …` */
import type { Operation } from '@holdfast/shared/api/operations.js';
import { vmSnapshotStateSchema, type VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { Option } from 'commander';
import { find } from '../api/resolve.js';
import { finishCommand } from '../operations/finish-command.js';
import { snapshotSummary, snapshotTable, snapshotText } from '../output/snapshot-text.js';
import { printable } from '../output/text.js';
import { examples, type Shell } from './command-group.js';
import { quiesceOption } from './quiesce-option.js';

interface CreateOptions {
  name?: string;
  description: string;
  quiesce?: string;
  volume?: string[];
  wait?: boolean;
}

export function addSnapshotCommands({ program, run }: Shell): void {
  const snapshot = program.command('snapshot').description('Disk-only snapshots of VMs: take, list, revert to, delete');

  snapshot
    .command('create <vm>')
    .description('Take a snapshot of a VM, running or stopped')
    .option('--name <name>', 'default: name of the VM and the time')
    .option('--description <text>', 'for people', '')
    .option('--volume <target...>', 'only these volumes, e.g. vda; default: all')
    .addOption(quiesceOption())
    .option('--wait', 'until it is taken')
    .addHelpText('after', examples('holdfast snapshot create web-1 --name before-upgrade --quiesce=try --wait'))
    .action(
      run<CreateOptions>(async (context, [nameOrId = ''], options) => {
        const vm = await find.vm(context.api, nameOrId);
        const operation = await context.api.post<Operation>(`/vms/${vm.id}/snapshots`, {
          name: options.name,
          description: options.description,
          quiesce: options.quiesce ?? 'no',
          volumes: options.volume,
        });
        await finishCommand(context, operation, {
          wait: options.wait,
          done: async ({ vmSnapshotId }) => snapshotSummary(await context.api.get<VmSnapshot>(`/vm-snapshots/${vmSnapshotId}`)),
        });
      }),
    );

  snapshot
    .command('list <vm>')
    .description('List the snapshots of a VM as a tree, those that virsh made among them')
    .addOption(
      new Option('--state <state>', 'only those in this state; default: all but Removed').choices(vmSnapshotStateSchema.options),
    )
    .action(
      run<{ state?: string }>(async ({ api, print }, [nameOrId = ''], { state }) => {
        const vm = await find.vm(api, nameOrId);
        const { items } = await api.get<{ items: VmSnapshot[] }>(`/vms/${vm.id}/snapshots`, { state });
        print(items, () => snapshotTable(items));
      }),
    );

  snapshot
    .command('show <snapshot>')
    .description('Show one snapshot, and the layers that hold it')
    .option('--vm <vm>', 'its VM (name or id); needed to name the snapshot otherwise than by its id')
    .action(
      run<{ vm?: string }>(async ({ api, print }, [nameOrId = ''], options) => {
        const one = await find.snapshot(api, nameOrId, options.vm);
        print(one, () => snapshotText(one));
      }),
    );

  snapshot
    .command('revert <snapshot>')
    .description('Let a stopped VM go on from a snapshot; what was written since goes, unless another snapshot holds it')
    .option('--vm <vm>', 'its VM (name or id); needed to name the snapshot otherwise than by its id')
    .option('--wait', 'until the VM is switched to it')
    .addHelpText('after', examples('holdfast snapshot revert before-upgrade --vm web-1 --wait'))
    .action(
      run<{ vm?: string; wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const one = await find.snapshot(context.api, nameOrId, options.vm);
        const operation = await context.api.post<Operation>(`/vm-snapshots/${one.id}/actions/revert`);
        const done = (): string =>
          `The VM goes on from ${printable(one.name)}. The next backup copies what was reverted in full.\n`;
        await finishCommand(context, operation, { wait: options.wait, done });
      }),
    );

  snapshot
    .command('delete <snapshot>')
    .description('Delete a snapshot; its layer is merged when nothing else needs it')
    .option('--vm <vm>', 'its VM (name or id); needed to name the snapshot otherwise than by its id')
    .option('--wait', 'until it is done')
    .addHelpText('after', examples('holdfast snapshot delete before-upgrade --vm web-1 --wait'))
    .action(
      run<{ vm?: string; wait?: boolean }>(async (context, [nameOrId = ''], options) => {
        const one = await find.snapshot(context.api, nameOrId, options.vm);
        const operation = await context.api.delete<Operation>(`/vm-snapshots/${one.id}`);
        await finishCommand(context, operation, { wait: options.wait, done: () => `${printable(one.name)} is deleted.\n` });
      }),
    );
}
