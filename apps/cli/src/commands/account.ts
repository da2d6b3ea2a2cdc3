/** `holdfast account …` and `holdfast key …` */
import { roleSchema, type Account, type ApiKey, type CreatedApiKey } from '@holdfast/shared/api/access.js';
import { Option } from 'commander';
import { find } from '../api/resolve.js';
import { table, time } from '../output/text.js';
import { seconds } from './arguments.js';
import { examples, type Shell } from './command-group.js';

export function addAccountCommands({ program, run }: Shell): void {
  const account = program.command('account').description('Accounts: owners of VMs and backups');

  account
    .command('create <name>')
    .description('Create an account')
    .action(
      run(async ({ api, print }, [name]) => {
        const created = await api.post<Account>('/accounts', { name });
        print(created, () => `Created account ${created.name}: ${created.id}\n`);
      }),
    );

  account
    .command('list')
    .description('List accounts')
    .action(
      run(async ({ api, print }) => {
        const accounts = await api.list<Account>('/accounts');
        print(accounts, () =>
          table(
            ['NAME', 'CREATED', 'ID'],
            accounts.map((one) => [one.name, time(one.createdAt), one.id]),
            'No accounts.',
          ),
        );
      }),
    );

  account
    .command('delete <account>')
    .description('Delete an account that has no keys and no VMs')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const found = await find.account(api, nameOrId);
        await api.delete(`/accounts/${found.id}`);
        print({ deleted: found.id }, () => `Deleted account ${found.name}.\n`);
      }),
    );
}

export function addKeyCommands({ program, run }: Shell): void {
  const key = program.command('key').description('API keys');

  key
    .command('create <name>')
    .description('Create an API key; its secret is shown once')
    .requiredOption('--account <account>', 'whose key it is (name or id)')
    .addOption(new Option('--role <role>', 'what it may do').choices(roleSchema.options).default('user'))
    .option('--valid <seconds>', 'how long it can be used; default: without end', seconds)
    .addHelpText(
      'after',
      examples('holdfast key create nightly --account shop', 'holdfast key create ops --account operators --role admin'),
    )
    .action(
      run<{ account: string; role: string; valid?: number }>(async ({ api, print }, [name], options) => {
        const owner = await find.account(api, options.account);
        const created = await api.post<CreatedApiKey>('/api-keys', {
          name,
          role: options.role,
          accountId: owner.id,
          validSeconds: options.valid,
        });
        print(created, () => `${created.secret}\n\nIt is shown once. Use it as HOLDFAST_API_KEY. Id of the key: ${created.id}\n`);
      }),
    );

  key
    .command('list')
    .description('List API keys')
    .action(
      run(async ({ api, print }) => {
        const keys = await api.list<ApiKey>('/api-keys');
        print(keys, () =>
          table(
            ['NAME', 'ROLE', 'ACCOUNT', 'CREATED', 'EXPIRES', 'ID'],
            keys.map((one) => [
              one.name,
              one.role,
              one.accountId,
              time(one.createdAt),
              one.expiresAt === undefined ? 'never' : time(one.expiresAt),
              one.id,
            ]),
            'No keys.',
          ),
        );
      }),
    );

  key
    .command('delete <id>')
    .description('Delete an API key: it stops working at once')
    .action(
      run(async ({ api, print }, [id = '']) => {
        await api.delete(`/api-keys/${encodeURIComponent(id)}`);
        print({ deleted: id }, () => `Deleted key ${id}.\n`);
      }),
    );
}
