/** `holdfast offering …` */
import type { Offering } from '@holdfast/shared/api/offerings.js';
import { find } from '../api/resolve.js';
import { table } from '../output/text.js';
import { wholeNumber } from './arguments.js';
import { examples, type Shell } from './command-group.js';

export function addOfferingCommands({ program, run }: Shell): void {
  const offering = program.command('offering').description('Backup offerings: what a VM is entitled to');

  offering
    .command('create <name>')
    .description('Create an offering')
    .option('--description <text>', 'for people', '')
    .option(
      '--chain-size <n>',
      'backups in a chain; 1: all full; below 1: no limit; default: the setting backup.chain.size',
      (text) => wholeNumber(text),
    )
    .addHelpText('after', examples('holdfast offering create gold --chain-size 3', 'holdfast vm assign web-1 gold'))
    .action(
      run<{ description: string; chainSize?: number }>(async ({ api, print }, [name], options) => {
        const created = await api.post<Offering>('/backup-offerings', {
          name,
          description: options.description,
          chainSize: options.chainSize,
        });
        print(created, () => `Created offering ${created.name}: ${created.id}\n`);
      }),
    );

  offering
    .command('list')
    .description('List offerings')
    .action(
      run(async ({ api, print }) => {
        const offerings = await api.list<Offering>('/backup-offerings');
        print(offerings, () =>
          table(
            ['NAME', 'CHAIN SIZE', 'DESCRIPTION', 'ID'],
            offerings.map((one) => [
              one.name,
              one.chainSize === undefined ? 'default' : String(one.chainSize),
              one.description,
              one.id,
            ]),
            'No offerings. Create one: holdfast offering create NAME',
          ),
        );
      }),
    );

  offering
    .command('delete <offering>')
    .description('Delete an offering that no VM has')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const found = await find.offering(api, nameOrId);
        await api.delete(`/backup-offerings/${found.id}`);
        print({ deleted: found.id }, () => `Deleted offering ${found.name}.\n`);
      }),
    );
}
