/** Table I, rows 21 to 23: a snapshot of one volume between two backups, reverted. */
import assert from 'node:assert/strict';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';

interface VolumeSnapshotStage {
  readonly scenario: Scenario;
  snapshot?: VmSnapshot;
}

export const volumeSnapshotRows = rowGroup<VolumeSnapshotStage>({
  async open(stack) {
    const scenario = await Scenario.open(stack, { name: 'one-volume', chainSize: 8 });
    await scenario.start();
    return { scenario };
  },
  close: (stage) => stage.scenario.close(),
  rows: [
    {
      id: 'I21',
      title: 'backup',
      async run({ scenario }) {
        await scenario.write(1);
        await scenario.write(1, 'vdb');
        assert.equal((await scenario.backup({ name: 'before' })).type, 'FULL');
      },
    },
    {
      id: 'I22',
      title: 'volume snapshot',
      async run(stage) {
        const { scenario } = stage;
        await scenario.write(2, 'vdb');
        stage.snapshot = await scenario.snapshot({ name: 'of vdb', volumes: ['vdb'] });
        assert.deepEqual(
          stage.snapshot.volumes.map(({ target }) => target),
          ['vdb'],
        );
        assert.equal((await scenario.layers('vda')).length, 2, 'the other volume is as it was');
        await scenario.write(3);
        await scenario.write(3, 'vdb');
      },
    },
    {
      id: 'I23',
      title: 'revert it: the delta that the backup left on primary is gone, the next backup is right',
      async run({ scenario, snapshot }) {
        await scenario.stop();
        await scenario.revert(snapshot as VmSnapshot);
        const deltas = async (target: string) =>
          (await scenario.layers(target)).filter((layer) => layer.endsWith('.hf.qcow2')).length;
        assert.equal(await deltas('vdb'), 0);
        assert.equal(await deltas('vda'), 1, 'the other volume is tracked as before');
        await scenario.start();
        await scenario.demandFiles([1, 3]);
        await scenario.demandFiles([1, 2], 'vdb');
        await scenario.write(4, 'vdb');
        // What it holds is compared with the disks, as everywhere.
        const next = await scenario.backup({ name: 'after' });
        assert.equal(next.type, 'INCREMENTAL');
        const [vda, vdb] = ['vda', 'vdb'].map((target) => next.volumes.find((volume) => volume.target === target));
        assert.equal(vda?.copiedInFull, false);
        assert.equal(vdb?.copiedInFull, true);
        assert.ok(vdb?.copiedInFullReason, 'why it was copied in full is recorded');
        await scenario.deleteSnapshot(snapshot as VmSnapshot);
        assert.equal((await scenario.layers('vdb')).length, 2, 'the volume and the delta of the newest backup');
      },
    },
  ],
});
