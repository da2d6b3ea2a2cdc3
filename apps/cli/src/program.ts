/**
 * The whole command line as one function: arguments in, exit code out. Owns help, usage errors and how errors are shown.
 */
import { Command, CommanderError, Option } from 'commander';
import type { CliIo } from './cli-io.js';
import { addAccountCommands, addKeyCommands } from './commands/account.js';
import { addBackupCommands } from './commands/backup.js';
import type { Handler, Shell } from './commands/command-group.js';
import { addHostCommands } from './commands/host.js';
import { addOfferingCommands } from './commands/offering.js';
import { addOperationCommands } from './commands/operation.js';
import { addScheduleCommands } from './commands/schedule.js';
import { addSettingCommands } from './commands/setting.js';
import { addSnapshotCommands } from './commands/snapshot.js';
import { addStorageCommands } from './commands/storage.js';
import { addVmCommands } from './commands/vm.js';
import { addZoneCommands } from './commands/zone.js';
import { openContext } from './context.js';
import { CliError, EXIT, Interrupted } from './errors/cli-error.js';
import { printable } from './output/text.js';

const HELP = `
First steps:
  export HOLDFAST_URL=https://manager.example.org:8443 HOLDFAST_API_KEY=…
  holdfast zone create berlin
  holdfast host token --zone berlin               # then start the agent of a host with it
  holdfast storage create nas --type nfs4 --source nas:/backup
  holdfast offering create gold --chain-size 8
  holdfast vm list
  holdfast vm assign web-1 gold
  holdfast backup create web-1 --quiesce=try --wait
  holdfast schedule create web-1 nightly --when "daily at 02:00" --time-zone Europe/Berlin --keep-daily 7
  holdfast backup list --vm web-1
  holdfast backup restore BACKUP --wait           # of a stopped VM

Zones, hosts, storages, offerings, VMs, schedules and accounts are given by name or by id.

Where the manager is and with which key, first found wins:
  options       --url, --key, --ca-file (a key in the arguments is seen by every user of this machine)
  environment   HOLDFAST_URL, HOLDFAST_API_KEY, HOLDFAST_CA_FILE
  file          ~/.config/holdfast/config.json: {"url": "…", "key": "…", "caFile": "…"}

Exit codes:
  0  done
  1  the work failed, or was refused by a host, a storage or the manager
  2  wrong usage or input, or it does not fit the state of things
  3  there is no such thing
  4  not allowed: no key, a wrong or an expired one, or another role's call
  5  not available now: the same command may succeed later
`;

/** Runs one command line (without node and script) to its end and returns the exit code. Never throws. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  const program = buildProgram(io);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof Interrupted) return error.exitCode;
    return showError(error, program.opts<{ output?: string }>().output === 'json', io);
  }
}

function buildProgram(io: CliIo): Command {
  const program = new Command('holdfast')
    .description('Backup and recovery for virtual machines on KVM')
    .option('--url <url>', 'address of the manager')
    .option('--key <key>', 'API key')
    .option('--ca-file <file>', "PEM file of the CA that signed the manager's certificate")
    .addOption(new Option('-o, --output <form>', 'for people or for tools').choices(['table', 'json']).default('table'))
    .addHelpText('after', HELP)
    .showHelpAfterError('(--help shows how it is used)')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) });
  const shell: Shell = {
    program,
    run:
      <O>(handler: Handler<O>) =>
      async (...values: unknown[]) => {
        const command = values.at(-1) as Command;
        await handler(await openContext(io, command), command.processedArgs as string[], command.opts() as O);
      },
  };
  addZoneCommands(shell);
  addHostCommands(shell);
  addStorageCommands(shell);
  addOfferingCommands(shell);
  addVmCommands(shell);
  addBackupCommands(shell);
  addSnapshotCommands(shell);
  addScheduleCommands(shell);
  addOperationCommands(shell);
  addSettingCommands(shell);
  addAccountCommands(shell);
  addKeyCommands(shell);
  return program;
}

/** Message and code on the error stream; for tools as one JSON object. Returns the exit code. */
function showError(error: unknown, json: boolean, io: CliIo): number {
  if (!(error instanceof CliError)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.err(
      json
        ? `${JSON.stringify({ error: { code: 'BUG', message, exitCode: EXIT.failed } })}\n`
        : `holdfast: unexpected error: ${message}\n`,
    );
    return EXIT.failed;
  }
  const { code, exitCode, message, details } = error;
  if (json) {
    io.err(`${JSON.stringify({ error: { code, message, fields: details.fields ?? {}, issues: details.issues, exitCode } })}\n`);
    return exitCode;
  }
  io.err(`holdfast: ${printable(message)} [${code}]\n`);
  return exitCode;
}
