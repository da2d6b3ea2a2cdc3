/** Table X, row 10: libvirt's hook refuses a start from below the newest data, and no other start. */
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { digestOf } from '../../testbed/content.js';
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
        // libvirt looks for hooks when it starts; the agent has installed its own after that.
        await host.killLibvirtd('SIGTERM');
        await host.startLibvirtd();
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
      },
    },
  ],
});

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
