#!/usr/bin/env node
/** holdfast-agent: the command line of the agent. Owns verbs and options; what they do is loaded when it is wanted. */
import './small-memory.js';
import { hostname } from 'node:os';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { Command } from 'commander';
import { DEFAULT_CONFIG_FILE, readAgentConfig } from './config/agent-config.js';

const program = new Command('holdfast-agent').description(
  'Backs up and restores the virtual machines of this host, as its manager says.',
);
const configOption = ['--config <file>', 'configuration file', DEFAULT_CONFIG_FILE] as const;

program
  .command('run')
  .description('run the agent until it is told to stop (SIGTERM)')
  .option(...configOption)
  .action(async ({ config }: { config: string }) => {
    const { runAgent } = await import('./run-agent.js');
    const agent = await runAgent(config);
    let stopping = false;
    const stop = (): void => {
      if (stopping) return;
      stopping = true;
      // Nothing of a child that cannot be reaped holds the process: what was running is in the journals.
      void agent.stop().finally(() => process.exit(0));
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });

program
  .command('join')
  .description('let this host join a zone, once')
  .requiredOption('--manager <url>', 'address of the manager, for example https://manager.example:8443')
  .requiredOption('--token <token>', 'join token that the manager made')
  .option('--name <name>', 'name of this host in the zone', hostname())
  .option('--address <host:port>', 'where the manager reaches this agent (default: this host name and the port of "listen")')
  .option(...configOption)
  .action(async (options: { manager: string; token: string; name: string; address?: string; config: string }) => {
    const config = await readAgentConfig(options.config);
    const { joinZone } = await import('./certificates/join.js');
    const hostId = await joinZone({
      managerUrl: options.manager,
      token: options.token,
      name: options.name,
      address: options.address ?? `${hostname()}:${config.listen.slice(config.listen.lastIndexOf(':') + 1)}`,
      certificatesDir: config.certificatesDir,
    });
    console.log(`This host joined as ${hostId}. Start the agent: systemctl enable --now holdfast-agent`);
  });

program
  .command('check')
  .description('tell what this host lacks, and which types of storages it can mount')
  .option(...configOption)
  .action(async ({ config }: { config: string }) => {
    const { checkHost } = await import('./check-host.js');
    const { problems, information } = await checkHost(config);
    for (const sentence of [...information, ...problems]) console.log(sentence);
    if (problems.length === 0) console.log('Everything that the agent needs is here.');
    process.exitCode = problems.length === 0 ? 0 : 1;
  });

const hook = program.command('hook').description('the libvirt hook that refuses to start a VM from a stale file');
hook
  .command('install')
  .description('install it (the agent does so when it starts)')
  .option(...configOption)
  .action(async ({ config }: { config: string }) => {
    const { libvirtHooksDir, stateDir } = await readAgentConfig(config);
    const { installHook } = await import('./start-guard/hook-file.js');
    const { path, fresh } = await installHook(libvirtHooksDir, stateDir);
    console.log(fresh ? `Installed ${path}. If libvirtd had no hook before, restart libvirtd once.` : `${path} is installed.`);
  });
hook
  .command('remove')
  .description(
    'remove it, for example before the agent is uninstalled (with "startGuard: true" an agent that starts puts it back)',
  )
  .option(...configOption)
  .action(async ({ config }: { config: string }) => {
    const { libvirtHooksDir } = await readAgentConfig(config);
    const { removeHook } = await import('./start-guard/hook-file.js');
    console.log(`Removed ${await removeHook(libvirtHooksDir)}.`);
  });

program.parseAsync().catch((thrown: unknown) => {
  const error = HoldfastError.from(thrown);
  console.error(`${error.code}: ${error.message}`);
  if (error.code === 'BUG') console.error((error.cause as Error | undefined)?.stack);
  process.exit(1);
});
