/** Table X, row 7: the manager's database is lost, and the storages are what is left of its records. */
import assert from 'node:assert/strict';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Vm } from '@holdfast/shared/api/inventory.js';
import type { StorageCheck, StorageScan } from '@holdfast/shared/api/storage.js';
import { waitUntil } from '../../testbed/wait-until.js';
import { SystemStack } from '../../system/system-stack.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

/** A system of its own: other rows need the database of theirs. */
export const databaseLostRows = rowGroup<Scenario>({
  open: async ({ options }) => {
    const stack = await SystemStack.start({ name: `${options.name}-x7` });
    try {
      return await Scenario.open(stack, { name: 'lost-db', chainSize: 8 });
    } catch (error) {
      await stack.destroy();
      throw error;
    }
  },
  async close({ stack }) {
    await stack.destroy();
  },
  rows: [
    {
      id: 'X7',
      title: 'database lost: a scan brings every backup back, and restores work, also of a VM that is gone',
      async run(scenario) {
        const { stack, vm } = scenario;
        await scenario.start();
        await scenario.write(1);
        await scenario.backup({ name: 'd1', description: 'the first' });
        await scenario.write(2);
        const wanted = await scenario.backup({ name: 'd2' });
        await scenario.write(3);
        await scenario.write(3, 'vdb');
        const last = await scenario.backup({ name: 'd3' });

        await stack.loseDatabase();
        await stack.waitForVm(vm);
        const scan = (dryRun: boolean): Promise<StorageScan> => {
          const [storage] = stack.storages;
          return stack.api.post<StorageScan>(`/secondary-storages/${storage?.storage.id}/actions/scan`, { dryRun });
        };
        const planned = await scan(true);
        assert.deepEqual(await stack.api.list<Backup>('/backups'), [], 'a dry run records nothing');
        const done = await scan(false);
        assert.deepEqual(
          done.takenUp.map(({ backupName }) => backupName),
          ['d1', 'd2', 'd3'],
        );
        assert.deepEqual({ ...done, dryRun: true, scannedAt: '' }, { ...planned, scannedAt: '' });
        assert.deepEqual([done.left, done.warnings, done.newVms], [[], [], []]);
        const again = await scan(false);
        assert.deepEqual([again.takenUp, again.corrected, again.left], [[], [], []], 'a second scan finds nothing');
        const listed = await stack.api.list<Backup>('/backups');
        assert.deepEqual(listed.map(({ name, type, description, state }) => [name, type, description, state]).sort(), [
          ['d1', 'FULL', 'the first', 'BackedUp'],
          ['d2', 'INCREMENTAL', '', 'BackedUp'],
          ['d3', 'INCREMENTAL', '', 'BackedUp'],
        ]);

        // The VM is there still: its disks go back into their place.
        await scenario.stop();
        await stack.restore(wanted);
        await scenario.demandDisksEqual(wanted, diskEquals);
        await scenario.start();
        await scenario.demandFiles([1, 2]);
        await scenario.demandFiles([], 'vdb');
        await stack.assign(vm, await stack.createOffering('again'));
        const next = await stack.backup(vm, { name: 'd4' });
        assert.equal(next.type, 'FULL');

        // The VM, and the database once more, are lost: the VM is defined from its backup.
        await scenario.stop();
        await vm.host.virsh('undefine', vm.uuid, '--nvram');
        await stack.loseDatabase();
        const second = await scan(false);
        assert.deepEqual(
          second.takenUp.map(({ backupName }) => backupName),
          ['d1', 'd2', 'd3', 'd4'],
        );
        assert.deepEqual(second.newVms, [{ vmId: vm.uuid, vmName: vm.name }]);
        assert.equal((await stack.api.get<Vm>(`/vms/${vm.uuid}`)).powerState, 'Gone');
        await stack.restore(last, { hostId: stack.first.id as never });
        await scenario.demandDisksEqual(last, diskEquals);
        await waitUntil('the VM is back', async () => (await stack.vm(vm)).powerState === 'Stopped');
        await scenario.start();
        await scenario.demandFiles([1, 2, 3]);
        await scenario.demandFiles([3], 'vdb');
        const check = await stack.api.post<StorageCheck>(
          `/secondary-storages/${stack.storages[0]?.storage.id}/actions/check`,
          {},
        );
        assert.deepEqual(
          check.findings.filter(({ hostId }) => hostId === undefined),
          [],
          'everything on the storage is on record',
        );
      },
    },
  ],
});
