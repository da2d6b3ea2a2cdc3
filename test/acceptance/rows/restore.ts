/** Table Q: restoring a stopped VM, and what becomes of its former files. */
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import type { SupersededFile } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { waitForSuccess } from '../../system/operations.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

export const restoreRows = rowGroup<Scenario>({
  open: (stack) => Scenario.open(stack, { name: 'restore', chainSize: 8 }),
  close: (scenario) => scenario.close(),
  rows: [
    {
      id: 'Q1',
      title: 'restore a destroyed VM; its former files are kept, then released; the next backup is right',
      async run(scenario) {
        const { stack, vm } = scenario;
        await scenario.start();
        await scenario.write(1);
        await scenario.write(1, 'vdb');
        await scenario.backup({ name: 'q1' });
        await scenario.write(2);
        const wanted = await scenario.backup({ name: 'q2' });
        await scenario.write(3);
        await vm.mustShell('umount /mnt/vdb && dd if=/dev/urandom of=/dev/vdb bs=1M count=32 conv=fsync 2>/dev/null');
        await scenario.stop();
        const before = Object.values(await vm.diskPaths()).map(({ inactive }) => inactive);

        await scenario.restore(wanted);
        await scenario.demandDisksEqual(wanted, diskEquals);
        for (const target of ['vda', 'vdb']) assert.equal((await vm.chain(target)).length, 1, `${target} is consolidated`);
        await scenario.start();
        await scenario.demandFiles([1, 2]);
        await scenario.demandFiles([1], 'vdb');

        const { items } = await stack.api.get<{ items: SupersededFile[] }>(`/vms/${vm.uuid}/superseded-files`);
        for (const path of before)
          assert.ok(
            items.some((file) => file.path === path),
            `${path} is kept and listed`,
          );
        for (const file of items) {
          await access(file.path);
          const operation = await stack.api.delete<Operation>(`/vms/${vm.uuid}/superseded-files/${file.id}`);
          await waitForSuccess(stack.api, operation.id);
          await assert.rejects(access(file.path), `${file.path} is released`);
        }
        await scenario.demandFiles([1, 2]);

        await scenario.write(4);
        const next = await scenario.backup({ name: 'q3' });
        assert.equal(next.type, 'FULL');
        assert.ok(next.fullReason, 'the reason for a full backup is recorded');
      },
    },
  ],
});
