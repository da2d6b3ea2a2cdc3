/** `holdfast operation …` */
import { operationKindSchema, operationStateSchema, type Operation } from '@holdfast/shared/api/operations.js';
import { Option } from 'commander';
import { find } from '../api/resolve.js';
import { finishCommand } from '../operations/finish-command.js';
import { operationTable, operationText } from '../output/operation-text.js';
import { wholeNumber } from './arguments.js';
import { examples, type Shell } from './command-group.js';

interface ListOptions {
  vm?: string;
  host?: string;
  state?: string;
  kind?: string;
  limit: number;
}

export function addOperationCommands({ program, run }: Shell): void {
  const operation = program.command('operation').description('Long work: what runs, what ran, what came of it');

  operation
    .command('list')
    .description('List operations')
    .option('--vm <vm>', 'only those of this VM (name or id)')
    .option('--host <host>', 'only those on this host (name or id)')
    .addOption(new Option('--state <state>', 'only those in this state').choices(operationStateSchema.options))
    .addOption(new Option('--kind <kind>', 'only those of this kind').choices(operationKindSchema.options))
    .option('--limit <n>', 'at most so many', (text) => wholeNumber(text, 1), 100)
    .action(
      run<ListOptions>(async ({ api, print }, _args, options) => {
        const vmId = options.vm === undefined ? undefined : (await find.vm(api, options.vm)).id;
        const hostId = options.host === undefined ? undefined : (await find.host(api, options.host)).id;
        const operations = await api.list<Operation>(
          '/operations',
          { vmId, hostId, state: options.state, kind: options.kind },
          options.limit,
        );
        print(operations, () => operationTable(operations));
      }),
    );

  operation
    .command('show <id>')
    .description('Show one operation with its steps')
    .action(
      run(async ({ api, print }, [id = '']) => {
        const one = await api.get<Operation>(`/operations/${encodeURIComponent(id)}`);
        print(one, () => operationText(one));
      }),
    );

  operation
    .command('watch <id>')
    .description('Follow an operation to its end; exit code 1 when it failed')
    .addHelpText('after', examples('holdfast operation watch 7d0f1f4e-…'))
    .action(
      run(async (context, [id = '']) => {
        const one = await context.api.get<Operation>(`/operations/${encodeURIComponent(id)}`);
        await finishCommand(context, one, { wait: true, done: operationText });
      }),
    );

  operation
    .command('cancel <id>')
    .description('Ask an operation to stop and undo; past its point of no return it goes on and says so')
    .option('--wait', 'until it has ended')
    .action(
      run<{ wait?: boolean }>(async (context, [id = ''], options) => {
        const one = await context.api.post<Operation>(`/operations/${encodeURIComponent(id)}/actions/cancel`);
        if (options.wait === true)
          await finishCommand(context, one, {
            wait: true,
            done: () => `Operation ${one.id} finished before it could be cancelled.\n`,
          });
        else context.print(one, () => `Asked operation ${one.id} to stop. It is ${one.state}.\n`);
      }),
    );
}
