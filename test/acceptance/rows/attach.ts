/** Table I, rows 18 to 20: a volume attached between two backups, left alone by one restore and brought back by another. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { createImage } from '../../testbed/images.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

interface AttachStage {
  readonly scenario: Scenario;
  readonly b4: Backup;
  b5?: Backup;
}

export const attachRows = rowGroup<AttachStage>({
  async open(stack) {
    const scenario = await Scenario.open(stack, { name: 'attach', chainSize: 8 });
    await scenario.start();
    await scenario.write(1);
    return { scenario, b4: await scenario.backup({ name: 'b4' }) };
  },
  close: (stage) => stage.scenario.close(),
  rows: [
    {
      id: 'I18',
      title: 'attach a volume, write, b5: the volume is copied in full inside an incremental backup',
      async run(stage) {
        const { scenario } = stage;
        const { vm, stack } = scenario;
        const file = join(vm.dir, 'vdc.qcow2');
        await createImage({ file, format: 'qcow2', sizeMiB: 64, content: { label: 'more' } });
        await vm.host.virsh(
          'attach-disk',
          vm.uuid,
          file,
          'vdc',
          '--driver',
          'qemu',
          '--subdriver',
          'qcow2',
          '--targetbus',
          'virtio',
          '--persistent',
        );
        await vm.mustShell(
          'i=0; while [ ! -b /dev/vdc ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; mkdir -p /mnt/vdc && mount -t ext4 /dev/vdc /mnt/vdc',
        );
        await scenario.write(2, 'vdc');
        await scenario.write(2);
        stage.b5 = await scenario.backup({ name: 'b5' });
        assert.equal(stage.b5.type, 'INCREMENTAL');
        const [vda, vdb, vdc] = ['vda', 'vdb', 'vdc'].map((target) =>
          stage.b5?.volumes.find((volume) => volume.target === target),
        );
        assert.equal(vda?.copiedInFull, false);
        assert.equal(vdb?.copiedInFull, false);
        assert.equal(vdc?.copiedInFull, true);
        assert.ok(vdc?.copiedInFullReason, 'why it was copied in full is recorded');
        assert.equal((await stack.volumes(vm)).filter((volume) => volume.attached).length, 3);
      },
    },
    {
      id: 'I19',
      title: 'stop, restore b4, start: the new volume is untouched',
      async run({ scenario, b4 }) {
        await scenario.stop();
        await scenario.restore(b4);
        await scenario.demandDisksEqual(b4, diskEquals);
        assert.equal(
          (await scenario.vm.diskPaths())['vdc']?.inactive,
          join(scenario.vm.dir, 'vdc.qcow2'),
          'its delta is merged, its file the same',
        );
        await scenario.start();
        await scenario.demandFiles([1]);
        await scenario.demandFiles([2], 'vdc');
      },
    },
    {
      id: 'I20',
      title: 'detach it, restore b5: a new volume is made and attached, its data is there',
      async run({ scenario, b5 }) {
        await scenario.stop();
        await scenario.vm.host.virsh('detach-disk', scenario.vm.uuid, 'vdc', '--config');
        await scenario.restore(b5 as Backup);
        const restored = (await scenario.vm.diskPaths())['vdc']?.inactive;
        assert.ok(
          restored !== undefined && restored !== join(scenario.vm.dir, 'vdc.qcow2'),
          'the volume came back as a new file',
        );
        await scenario.demandDisksEqual(b5 as Backup, diskEquals);
        await scenario.start();
        await scenario.demandFiles([1, 2]);
        await scenario.demandFiles([2], 'vdc');
      },
    },
  ],
});
