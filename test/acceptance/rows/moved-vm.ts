/** Table I, rows 1 to 5: a VM that moves to another host, and one of its volumes to another storage, in the middle of a chain. */
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { SupersededFile } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { waitForSuccess } from '../../system/operations.js';
import type { StackHost } from '../../system/system-stack.js';
import { waitUntil } from '../../testbed/wait-until.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

interface MovedStage {
  readonly scenario: Scenario;
  before?: Backup;
}

export const movedVmRows = rowGroup<MovedStage>({
  open: async (stack) => ({ scenario: await Scenario.open(stack, { name: 'moved', chainSize: 8 }) }),
  async close({ scenario }) {
    await scenario.close();
    // Its moved volume is not in the VM's own folder.
    await rm(otherFolder(scenario), { recursive: true, force: true });
  },
  rows: [
    {
      id: 'I1',
      title: 'backup, then live-migrate the VM',
      async run(stage) {
        const { scenario } = stage;
        await scenario.start();
        await scenario.write(1);
        stage.before = await scenario.backup({ name: 'before' });
        scenario.vm = await scenario.stack.migrate(scenario.vm, otherHost(scenario));
        await scenario.write(2);
        await scenario.demandInvariants();
        const next = await scenario.backup({ name: 'on the other host' });
        assert.equal(next.type, 'INCREMENTAL');
        assert.ok(next.volumes.every((volume) => !volume.copiedInFull));
      },
    },
    {
      id: 'I2',
      title: 'migrate the VM and one volume to other storage: the moved volume has no delta, the other still has one',
      async run({ scenario }) {
        const { stack } = scenario;
        scenario.vm = await stack.migrate(scenario.vm, otherHost(scenario), { undefineSource: true });
        const [oldDelta] = (await scenario.vm.chain('vdb')).map(({ filename }) => filename);
        const folder = otherFolder(scenario);
        await mkdir(folder, { recursive: true });
        const to = join(folder, 'moved.qcow2');
        await scenario.vm.host.virsh(
          ...['blockcopy', scenario.vm.uuid, 'vdb', '--dest', to, '--format', 'qcow2'],
          ...['--transient-job', '--wait', '--pivot'],
        );
        const volumes = await waitUntil('the manager sees the moved volume', async () => {
          const seen = await stack.volumes(scenario.vm);
          return seen.find(({ target }) => target === 'vdb')?.layers[0]?.path === to ? seen : undefined;
        });
        const deltas = volumes.map(({ target, layers }) => [target, layers.filter((layer) => layer.backupDelta).length]);
        assert.deepEqual(Object.fromEntries(deltas), { vda: 1, vdb: 0 });
        const left = await leftBehind(scenario);
        assert.deepEqual(left, [oldDelta], 'its old delta is listed as left behind');
        const files = `/vms/${scenario.vm.uuid}/superseded-files`;
        await assert.rejects(stack.api.delete(files), /only by name/);
        const [file] = (await stack.api.get<{ items: SupersededFile[] }>(files)).items;
        const release = await stack.api.delete<Operation>(`${files}/${file?.id ?? ''}`);
        await waitForSuccess(stack.api, release.id);
        assert.deepEqual(await leftBehind(scenario), []);
      },
    },
    {
      id: 'I3',
      title: 'backup: incremental for the one, full for the moved one, one restore point',
      async run({ scenario }) {
        await scenario.write(3);
        await scenario.write(3, 'vdb');
        const backup = await scenario.backup({ name: 'after the move' });
        assert.equal(backup.type, 'INCREMENTAL');
        const inFull = backup.volumes.map(({ target, copiedInFull }) => [target, copiedInFull]);
        assert.deepEqual(Object.fromEntries(inFull), { vda: false, vdb: true });
        assert.ok(backup.volumes.find(({ target }) => target === 'vdb')?.copiedInFullReason);
      },
    },
    {
      id: 'I4',
      title: 'two more backups',
      async run({ scenario }) {
        for (const n of [4, 5]) {
          await scenario.write(n);
          await scenario.write(n, 'vdb');
          const backup = await scenario.backup({ name: `with file ${n}` });
          assert.equal(backup.type, 'INCREMENTAL');
          assert.ok(backup.volumes.every((volume) => !volume.copiedInFull));
        }
      },
    },
    {
      id: 'I5',
      title: 'restore one from before the migration',
      async run({ scenario, before }) {
        await scenario.stop();
        await scenario.restore(before as Backup);
        await scenario.demandDisksEqual(before as Backup, diskEquals);
        await scenario.start();
        await scenario.demandFiles([1]);
        await scenario.demandFiles([], 'vdb');
      },
    },
  ],
});

function otherHost(scenario: Scenario): StackHost {
  const other = scenario.stack.hosts.find(({ host }) => host !== scenario.vm.host);
  if (other === undefined) throw new Error('the stack has one host only');
  return other;
}

async function leftBehind({ stack, vm }: Scenario): Promise<string[]> {
  const { items } = await stack.api.get<{ items: SupersededFile[] }>(`/vms/${vm.uuid}/superseded-files`);
  return items.map(({ path }) => path);
}

/** Where the moved volume lies: on the second host's storage. */
function otherFolder({ stack, vm }: Scenario): string {
  return join(stack.hosts[1]?.agent.primaryPool ?? '', vm.uuid);
}
