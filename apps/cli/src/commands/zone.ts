/** `holdfast zone …` */
import type { Zone } from '@holdfast/shared/api/inventory.js';
import { find } from '../api/resolve.js';
import { table, time } from '../output/text.js';
import { examples, type Shell } from './command-group.js';

export function addZoneCommands({ program, run }: Shell): void {
  const zone = program.command('zone').description('Zones: hosts that share primary storage, secondary storages and limits');

  zone
    .command('create <name>')
    .description('Create a zone')
    .addHelpText('after', examples('holdfast zone create berlin'))
    .action(
      run(async ({ api, print }, [name]) => {
        const created = await api.post<Zone>('/zones', { name });
        print(
          created,
          () => `Created zone ${created.name}: ${created.id}\nNext, add a host: holdfast host token --zone ${created.id}\n`,
        );
      }),
    );

  zone
    .command('list')
    .description('List zones')
    .action(
      run(async ({ api, print }) => {
        const zones = await api.list<Zone>('/zones');
        print(zones, () =>
          table(
            ['NAME', 'ID', 'CREATED'],
            zones.map((one) => [one.name, one.id, time(one.createdAt)]),
            'No zones. Create one: holdfast zone create NAME',
          ),
        );
      }),
    );

  zone
    .command('delete <zone>')
    .description('Delete a zone that has no hosts, VMs or storages')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const found = await find.zone(api, nameOrId);
        await api.delete(`/zones/${found.id}`);
        print({ deleted: found.id }, () => `Deleted zone ${found.name}.\n`);
      }),
    );
}
