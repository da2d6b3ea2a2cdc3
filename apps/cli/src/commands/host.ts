/** `holdfast host …` */
import type { Host, JoinToken } from '@holdfast/shared/api/inventory.js';
import { find, zoneOrOnly } from '../api/resolve.js';
import type { CommandContext } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import { bytes, keyValues, table, time } from '../output/text.js';
import { examples, type Shell } from './command-group.js';
import { seconds } from './arguments.js';

export function addHostCommands({ program, run }: Shell): void {
  const host = program.command('host').description('KVM hosts and their agents');

  host
    .command('list')
    .description('List hosts')
    .option('--zone <zone>', 'only those of this zone (name or id)')
    .action(
      run<{ zone?: string }>(async ({ api, print }, _args, options) => {
        const zoneId = options.zone === undefined ? undefined : (await find.zone(api, options.zone)).id;
        const hosts = await api.list<Host>('/hosts', { zoneId });
        print(hosts, () =>
          table(
            ['NAME', 'STATE', 'ENABLED', 'ADDRESS', 'AGENT', 'LAST SEEN', 'ID'],
            hosts.map((one) => [
              one.name,
              one.state,
              one.enabled ? 'yes' : 'no',
              one.address,
              one.agentVersion ?? '-',
              time(one.lastSeenAt),
              one.id,
            ]),
            'No hosts. Make a token to join one: holdfast host token',
          ),
        );
      }),
    );

  host
    .command('show <host>')
    .description('Show one host: versions, primary pools, why it is down')
    .action(
      run(async ({ api, print }, [nameOrId = '']) => {
        const one = await find.host(api, nameOrId);
        print(one, () => hostText(one));
      }),
    );

  host
    .command('token')
    .description('Make a one-time token with which a host joins a zone')
    .option('--zone <zone>', 'name or id; may be left out when there is only one')
    .option('--valid <seconds>', 'how long it can be used', seconds, 3600)
    .addHelpText(
      'after',
      examples('holdfast host token --zone berlin', 'TOKEN=$(holdfast --output json host token | jq -r .token)'),
    )
    .action(
      run<{ zone?: string; valid: number }>(async ({ api, print }, _args, options) => {
        const zone = await zoneOrOnly(api, options.zone);
        const token = await api.post<JoinToken>('/hosts/join-tokens', { zoneId: zone.id, validSeconds: options.valid });
        print(
          token,
          () => `${token.token}\n\nIt is shown once, lets one host join zone ${zone.name}, and ends ${time(token.expiresAt)}.\n`,
        );
      }),
    );

  host
    .command('update <host>')
    .description('Rename a host, or say where its agent is now; its VMs, backups and work stay with it')
    .option('--name <name>', 'new name here; what the machine calls itself does not matter')
    .option('--address <address>', 'host:port where the manager reaches the agent')
    .addHelpText('after', examples('holdfast host update kvm1 --name kvm2 --address kvm2.example.org:7443'))
    .action(
      run<{ name?: string; address?: string }>(async ({ api, print }, [nameOrId = ''], { name, address }) => {
        if (name === undefined && address === undefined)
          throw new CliError('INVALID_INPUT', 'Say what to change: --name, --address, or both.');
        const found = await find.host(api, nameOrId);
        const changed = await api.patch<Host>(`/hosts/${found.id}`, { name, address });
        print(changed, () => `Host ${changed.name} is at ${changed.address}.\n`);
      }),
    );

  host
    .command('enable <host>')
    .description('Let a host get new work again')
    .action(run((context, [nameOrId = '']) => setEnabled(context, nameOrId, true)));

  host
    .command('disable <host>')
    .description('Give a host no new work; what runs goes on')
    .action(run((context, [nameOrId = '']) => setEnabled(context, nameOrId, false)));

  host
    .command('delete <host>')
    .description('Forget a host that is not used any more')
    .option('--lost', 'the machine is off for good: its VMs count as gone and can be restored on another host')
    .addHelpText('after', examples('holdfast host delete kvm1 --lost', 'holdfast backup restore 3e0b6c2a-… --host kvm2 --wait'))
    .action(
      run<{ lost?: true }>(async ({ api, print }, [nameOrId = ''], { lost }) => {
        const found = await find.host(api, nameOrId);
        await api.delete(`/hosts/${found.id}${lost === true ? '?lost=true' : ''}`);
        print({ deleted: found.id }, () => `Deleted host ${found.name}${lost === true ? ', with its VMs gone' : ''}.\n`);
      }),
    );
}

async function setEnabled({ api, print }: CommandContext, nameOrId: string, enabled: boolean): Promise<void> {
  const found = await find.host(api, nameOrId);
  const changed = await api.patch<Host>(`/hosts/${found.id}`, { enabled });
  print(changed, () => `Host ${changed.name} is ${changed.enabled ? 'enabled' : 'disabled'}.\n`);
}

function hostText(host: Host): string {
  const pools = host.primaryPools.map((pool) => [pool.path, bytes(pool.freeBytes), bytes(pool.totalBytes)]);
  return (
    keyValues([
      ['host', host.name],
      ['id', host.id],
      ['zone', host.zoneId],
      ['state', host.state],
      ['reason', host.stateReason],
      ['enabled', host.enabled ? 'yes' : 'no'],
      ['address', host.address],
      ['calls itself', host.hostname],
      ['agent', host.agentVersion],
      ['libvirt', host.libvirtVersion],
      ['QEMU', host.qemuVersion],
      ['last seen', time(host.lastSeenAt)],
    ]) + `\n${table(['PRIMARY POOL', 'FREE', 'SIZE'], pools, 'No primary pools known.')}`
  );
}
