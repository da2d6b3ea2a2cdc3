/** Table X, row 12: one of two volumes fails to copy. */
import assert from 'node:assert/strict';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';

export const failedCopyRows = rowGroup<Scenario>({
  open: (stack) => Scenario.open(stack, { name: 'second', chainSize: 8, storage: { kind: 'filesystem', sizeMiB: 384 } }),
  close: (scenario) => scenario.close(),
  rows: [
    {
      id: 'X12',
      title: 'the second of two volumes fails to copy: no delta was merged, the next backup is incremental for both and right',
      async run(scenario) {
        const { stack, vm, storage } = scenario;
        const { breakpoints } = stack.first.agent;
        await scenario.start();
        await scenario.write(1);
        await scenario.write(1, 'vdb');
        const first = await scenario.backup({ name: 's1' });
        await scenario.write(2);
        await scenario.write(2, 'vdb');
        const chains = { vda: await scenario.layers('vda'), vdb: await scenario.layers('vdb') };

        const [vda, vdb] = [await stack.volumeKey(vm, 'vda'), await stack.volumeKey(vm, 'vdb')];
        const firstDone = { step: 'seal', subject: vda, phase: 'after' } as const;
        const secondBegins = { step: 'copy', subject: vdb, phase: 'before' } as const;
        await breakpoints.set(firstDone);
        await breakpoints.set(secondBegins);
        const started = await stack.startBackup(vm, { name: 's2' });
        // The first volume is whole on the storage, the second has not begun; then there is no room left.
        await breakpoints.reached(firstDone);
        await breakpoints.reached(secondBegins);
        await storage.media.fill();
        await breakpoints.release(secondBegins);
        const failure = stack.end(started);
        await breakpoints.release(firstDone);
        const failed = await failure;
        assert.equal(failed.state, 'Failed');
        assert.equal(failed.error?.code, 'STORAGE_FULL');
        await storage.media.unfill();

        // Names may differ, layers may not: as many deltas as before, the head's among them.
        for (const target of ['vda', 'vdb'] as const)
          assert.deepEqual(await scenario.layers(target), chains[target], `${target} is as before`);
        await scenario.demandInvariants();
        await scenario.demandFiles([1, 2]);
        await scenario.demandFiles([1, 2], 'vdb');

        await scenario.write(3);
        const next = await scenario.backup({ name: 's3' });
        assert.equal(next.type, 'INCREMENTAL');
        assert.equal(next.parentId, first.id);
        for (const volume of next.volumes) assert.equal(volume.copiedInFull, false, `${volume.target} is incremental`);
      },
    },
  ],
});
