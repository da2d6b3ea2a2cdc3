/** `holdfast setting …` */
import type { Setting } from '@holdfast/shared/api/access.js';
import { find } from '../api/resolve.js';
import type { ApiClient } from '../api/api-client.js';
import type { CommandContext } from '../context.js';
import { keyValues, table } from '../output/text.js';
import { examples, type Shell } from './command-group.js';

export function addSettingCommands({ program, run }: Shell): void {
  const setting = program.command('setting').description('Settings, global or of a zone');
  const zoneOption = ['--zone <zone>', 'of this zone (name or id); without it: global'] as const;

  setting
    .command('list')
    .description('List settings with where their value comes from')
    .option(...zoneOption)
    .action(
      run<{ zone?: string }>(async ({ api, print }, _args, options) => {
        const { items } = await api.get<{ items: Setting[] }>(await pathOf(api, options.zone));
        print(items, () =>
          table(
            ['NAME', 'VALUE', 'UNIT', 'FROM', 'DEFAULT', 'MEANING'],
            items.map((one) => [one.name, one.value, one.unit || '-', one.scope, one.defaultValue, one.description]),
            'No settings.',
          ),
        );
      }),
    );

  setting
    .command('get <name>')
    .description('Show one setting')
    .option(...zoneOption)
    .action(
      run<{ zone?: string }>(async ({ api, print }, [name = ''], options) => {
        const one = await api.get<Setting>(`${await pathOf(api, options.zone)}/${encodeURIComponent(name)}`);
        print(one, () =>
          keyValues([
            ['setting', one.name],
            ['value', `${one.value} ${one.unit}`.trim()],
            ['from', one.scope],
            ['default', `${one.defaultValue} ${one.unit}`.trim()],
            ['meaning', one.description],
          ]),
        );
      }),
    );

  setting
    .command('set <name> <value>')
    .description('Change a setting')
    .option(...zoneOption)
    .addHelpText(
      'after',
      examples('holdfast setting set backup.chain.size 5', 'holdfast setting set backup.chain.size 3 --zone berlin'),
    )
    .action(run<{ zone?: string }>((context, [name = '', value = ''], options) => change(context, name, value, options.zone)));

  setting
    .command('unset <name>')
    .description('Let a setting inherit its value again')
    .option(...zoneOption)
    .action(run<{ zone?: string }>((context, [name = ''], options) => change(context, name, null, options.zone)));
}

async function pathOf(api: ApiClient, zone: string | undefined): Promise<string> {
  return zone === undefined ? '/settings' : `/zones/${(await find.zone(api, zone)).id}/settings`;
}

async function change(
  { api, print }: CommandContext,
  name: string,
  value: string | null,
  zone: string | undefined,
): Promise<void> {
  const changed = await api.put<Setting>(`${await pathOf(api, zone)}/${encodeURIComponent(name)}`, { value });
  print(changed, () => `${changed.name} is ${changed.value} ${changed.unit}`.trimEnd() + ` (${changed.scope})\n`);
}
