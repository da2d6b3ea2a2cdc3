/** `holdfast storage …` */
import {
  storageTypeSchema,
  type Storage,
  type StorageCheck,
  type StorageCleaning,
  type StorageScan,
} from '@holdfast/shared/api/storage.js';
import { Option } from 'commander';
import { find, zoneOrOnly } from '../api/resolve.js';
import { checkText, cleaningText, scanText } from '../output/storage-text.js';
import { bytes, errorLine, keyValues, table, time } from '../output/text.js';
import { examples, type Shell } from './command-group.js';

interface CreateOptions {
  zone?: string;
  type: string;
  source: string;
  options: string;
  adopt?: boolean;
}

export function addStorageCommands({ program, run }: Shell): void {
  const storage = program.command('storage').description('Secondary storages: where backups go');

  storage
    .command('create <name>')
    .description('Register a secondary storage of a zone')
    .option('--zone <zone>', 'name or id; may be left out when there is only one')
    .addOption(new Option('--type <type>', 'kind of place').choices(storageTypeSchema.options).default('dir'))
    .requiredOption('--source <source>', 'dir: an absolute directory that exists on every host; otherwise what mount(8) takes')
    .option('--options <options>', 'mount -o', '')
    .option('--adopt', 'the place already is a Holdfast storage: take it over with its identity')
    .addHelpText(
      'after',
      examples(
        'holdfast storage create nas --type nfs4 --source nas.example.org:/backup --options nfsvers=4.2',
        'holdfast storage create shared --source /mnt/backup',
      ),
    )
    .action(
      run<CreateOptions>(async ({ api, print }, [name], options) => {
        const zone = await zoneOrOnly(api, options.zone);
        const created = await api.post<Storage>('/secondary-storages', {
          zoneId: zone.id,
          name,
          type: options.type,
          source: options.source,
          options: options.options,
          adopt: options.adopt === true,
        });
        print(
          created,
          () =>
            `Created storage ${created.name}: ${created.id}\n${errorLine(created.problem) ?? `${bytes(created.freeBytes)} free`}\n`,
        );
      }),
    );

  storage
    .command('list')
    .description('List secondary storages')
    .option('--zone <zone>', 'only those of this zone (name or id)')
    .action(
      run<{ zone?: string }>(async ({ api, print }, _args, options) => {
        const zoneId = options.zone === undefined ? undefined : (await find.zone(api, options.zone)).id;
        const storages = await api.list<Storage>('/secondary-storages', { zoneId });
        print(storages, () =>
          table(
            ['NAME', 'TYPE', 'SOURCE', 'FREE', 'SIZE', 'STATE', 'ID'],
            storages.map((one) => [
              one.name,
              one.type,
              one.source,
              bytes(one.freeBytes),
              bytes(one.totalBytes),
              stateOf(one),
              one.id,
            ]),
            'No storages. Create one: holdfast storage create NAME --source DIRECTORY',
          ),
        );
      }),
    );

  storage
    .command('show <storage>')
    .description('Show one secondary storage, and why it cannot be used')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const one = await find.storage(api, nameOrId);
        print(one, () =>
          keyValues([
            ['storage', one.name],
            ['id', one.id],
            ['zone', one.zoneId],
            ['type', one.type],
            ['source', one.source],
            ['options', one.options || '-'],
            ['read-only', one.readOnly ? 'yes: no new backups are put here' : 'no'],
            ['free', bytes(one.freeBytes)],
            ['size', bytes(one.totalBytes)],
            ['problem', errorLine(one.problem)],
            ['checked', time(one.checkedAt)],
          ]),
        );
      }),
    );

  storage
    .command('update <storage>')
    .description('Rename a secondary storage, or let it take no new backups')
    .option('--name <name>', 'new name')
    .addOption(new Option('--read-only <yes or no>', 'yes: no new backups are put here; restores go on').choices(['yes', 'no']))
    .addHelpText('after', examples('holdfast storage update nas --read-only yes'))
    .action(
      run<{ name?: string; readOnly?: string }>(async ({ api, print }, [nameOrId = ''], options) => {
        const found = await find.storage(api, nameOrId);
        const readOnly = options.readOnly === undefined ? undefined : options.readOnly === 'yes';
        const changed = await api.patch<Storage>(`/secondary-storages/${found.id}`, { name: options.name, readOnly });
        print(changed, () => `Storage ${changed.name} ${changed.readOnly ? 'takes no new backups' : 'takes new backups'}.\n`);
      }),
    );

  storage
    .command('check <storage>')
    .description(
      'Compare what lies on a secondary storage, and in the primary pools of its zone, with the records; writes nothing',
    )
    .addHelpText('after', examples('holdfast storage check nas', 'holdfast storage check nas --output json'))
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const found = await find.storage(api, nameOrId);
        const check = await api.post<StorageCheck>(`/secondary-storages/${found.id}/actions/check`, {});
        print(check, () => checkText(found.name, check));
      }),
    );

  storage
    .command('scan <storage>')
    .description(
      'After a lost database, or one of an earlier day: take up the whole backups of a secondary storage that are not on record; nothing on it is written',
    )
    .option('--dry-run', 'say what would be done; write nothing')
    .addHelpText('after', examples('holdfast storage scan nas --dry-run', 'holdfast storage scan nas'))
    .action(
      run<{ dryRun?: boolean }>(async ({ api, print }, [nameOrId = ''], options) => {
        const found = await find.storage(api, nameOrId);
        const scan = await api.post<StorageScan>(`/secondary-storages/${found.id}/actions/scan`, {
          dryRun: options.dryRun === true,
        });
        print(scan, () => scanText(scan));
      }),
    );

  storage
    .command('clean <storage>')
    .description('Remove findings of a check, after looking again that nothing needs them')
    .requiredOption('--finding <id...>', 'ids of findings; give several, or give it again')
    .addHelpText('after', examples('holdfast storage clean nas --finding 3f2a9c0d11ee'))
    .action(
      run<{ finding: string[] }>(async ({ api, print }, [nameOrId = ''], { finding }) => {
        const found = await find.storage(api, nameOrId);
        const done = await api.post<StorageCleaning>(`/secondary-storages/${found.id}/actions/clean`, { findings: finding });
        print(done, () => cleaningText(done));
      }),
    );

  storage
    .command('delete <storage>')
    .description('Forget a secondary storage that holds no backups; nothing on it is touched')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const found = await find.storage(api, nameOrId);
        await api.delete(`/secondary-storages/${found.id}`);
        print({ deleted: found.id }, () => `Deleted storage ${found.name}.\n`);
      }),
    );
}

function stateOf(storage: Storage): string {
  if (storage.problem !== undefined) return storage.problem.code;
  return storage.readOnly ? 'read-only' : 'ok';
}
