/** Table X, row 10: libvirt's hook refuses a start from below the newest data, and no other start. */
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { StackHost } from '../../system/system-stack.js';
import { digestOf } from '../../testbed/content.js';
import { waitUntil } from '../../testbed/wait-until.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';

export const staleStartRows = rowGroup<Scenario>({
  open: (stack) => Scenario.open(stack, { name: 'stale', chainSize: 8 }),
  close: (scenario) => scenario.close(),
  rows: [
    {
      id: 'X10',
      title: 'VM started from the stale base while a delta is live: refused by the hook, with the right file named',
      async run(scenario) {
        const { stack, vm } = scenario;
        const { host, agent } = stack.first;
        // The agent has installed its hook since.
        await restartLibvirtd(stack.first);
        await scenario.start();
        await scenario.write(1);
        const base = await vm.currentFile('vda');
        const backup = await scenario.backup({ name: 'x10' });
        await scenario.write(2);
        await scenario.stop();
        const delta = await vm.currentFile('vda');
        const right = await vm.xml('inactive');
        const stale = right.replace(delta, base);
        assert.notEqual(stale, right, 'the definition names the delta');
        const before = digestOf(await readFile(base));
        const demandRefused = async (): Promise<void> => {
          await define(scenario, stale);
          const start = await host.tryVirsh('start', vm.uuid);
          assert.notEqual(start.exitCode, 0, 'a start from the stale base was allowed');
          assert.ok(start.stderr.includes(`the disk ${base} of the VM is stale, its newest data is in ${delta}`), start.stderr);
          assert.equal(digestOf(await readFile(base)), before, 'the stale base is as before');
          await define(scenario, right);
        };

        await demandRefused();
        await scenario.start();
        await scenario.demandFiles([1, 2]);
        await scenario.stop();

        // The agent is away: its word still counts, and no more than its word.
        await stack.killAgent();
        await demandRefused();
        await vm.start();
        await vm.shutdown();
        await stack.startAgent();
        await stack.waitForHost(host.name);

        // What Holdfast itself makes of the disks may start: merged down to the base, restored to a new file.
        await endChain(scenario);
        assert.equal(await vm.currentFile('vda'), base);
        await scenario.start();
        await scenario.demandFiles([1, 2]);
        await scenario.stop();
        await scenario.restore(backup);
        assert.notEqual(await vm.currentFile('vda'), base);
        await scenario.start();
        await scenario.demandFiles([1]);
        await scenario.stop();
        const left = join(agent.stateDir, 'hook', vm.uuid);
        await assert.rejects(stat(left), { code: 'ENOENT' }, 'nothing is stale any more');

        await demandRefusedWhereItWas(scenario);
      },
    },
  ],
});

/**
 * The stopped VM moves to another host and leaves its definition behind; what it gets there is known here. It comes back at the end.
 */
async function demandRefusedWhereItWas(scenario: Scenario): Promise<void> {
  const { stack } = scenario;
  const [here, there] = stack.hosts;
  assert.ok(here && there, 'two hosts');
  await restartLibvirtd(there);
  const uuid = scenario.vm.uuid;
  const told = join(here.agent.stateDir, 'hook', `${uuid}.elsewhere`);
  const left = await scenario.vm.currentFile('vda');
  const demandRefused = async (): Promise<void> => {
    const right = await scenario.vm.currentFile('vda');
    const before = digestOf(await readFile(left));
    const start = await here.host.tryVirsh('start', uuid);
    assert.notEqual(start.exitCode, 0, 'a start from the definition that was left behind was allowed');
    assert.ok(start.stderr.includes(`the disk ${left} of the VM is stale, its newest data is in ${right}`), start.stderr);
    assert.equal(digestOf(await readFile(left)), before, 'the file of the definition that was left behind is as before');
  };

  await scenario.start();
  scenario.vm = await stack.migrate(scenario.vm, there);
  assert.equal(await scenario.vm.currentFile('vda'), left);
  await scenario.backup({ name: 'x10 elsewhere' });
  await scenario.write(3);
  await scenario.stop();
  await demandRefused();
  // The agent is away, and libvirt has forgotten that the VM left: a look at what it left behind takes nothing back.
  await stack.killAgent(here);
  await restartLibvirtd(here);
  await demandRefused();
  await stack.startAgent(here);
  await stack.waitForHost(here.host.name);
  await demandRefused();

  // A layer that comes while the agent is away is told of when it is back.
  await stack.killAgent(here);
  await scenario.backup({ name: 'x10 elsewhere, the agent away' });
  await stack.startAgent(here);
  const newest = await scenario.vm.currentFile('vda');
  await waitUntil('the agent that came back is told of the newest layer', async () =>
    (await readFile(told, 'utf8')).includes(newest),
  );
  await demandRefused();

  // Where it is, it starts, and after it has come back here, too.
  await scenario.start();
  await scenario.demandFiles([1, 3]);
  scenario.vm = await stack.migrate(scenario.vm, here);
  await scenario.vm.onHost(there.host).undefine();
  await scenario.stop();
  await scenario.start();
  await scenario.demandFiles([1, 3]);
  await assert.rejects(stat(told), { code: 'ENOENT' }, 'what the VM was elsewhere means nothing any more');
  await scenario.stop();
}

/** libvirt looks for hooks when it starts. */
async function restartLibvirtd({ host }: StackHost): Promise<void> {
  await host.killLibvirtd('SIGTERM');
  await host.startLibvirtd();
}

async function define({ vm }: Scenario, xml: string): Promise<void> {
  const file = join(vm.host.dir, 'definition.xml');
  await writeFile(file, xml, { mode: 0o600 });
  await vm.host.virsh('define', file);
  await rm(file);
}

async function endChain({ stack, vm }: Scenario): Promise<void> {
  const { id } = await stack.api.post<Operation>(`/vms/${vm.uuid}/actions/finish-backup-chain`, {});
  const { state, error } = await stack.end({ id });
  assert.equal(state, 'Succeeded', error?.message);
}
