/** Table B: a chain of three backups, stopped and running, restored and continued. */
import assert from 'node:assert/strict';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { imagesEqual } from '../../testbed/images.js';
import type { TestVm } from '../../testbed/test-vm.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';

class ChainStage {
  readonly backups = new Map<string, Backup>();
  constructor(readonly scenario: Scenario) {}

  async take(name: string): Promise<Backup> {
    const backup = await this.scenario.backup({ name });
    this.backups.set(name, backup);
    return backup;
  }

  get(name: string): Backup {
    const found = this.backups.get(name);
    if (found === undefined) throw new Error(`backup ${name} was not taken`);
    return found;
  }
}

/** A stopped VM's disk against a raw copy. A restored disk is qcow2, whatever it was before. */
export async function diskEquals(vm: TestVm, target: string, copy: string): Promise<boolean> {
  const [top] = await vm.chain(target);
  assert.ok(top);
  return imagesEqual(top.filename, top.format === 'raw' ? 'raw' : 'qcow2', copy, 'raw');
}

export const chainRows = rowGroup<ChainStage>({
  open: async (stack) => new ChainStage(await Scenario.open(stack, { name: 'chain', chainSize: 3 })),
  close: (stage) => stage.scenario.close(),
  rows: [
    {
      id: 'B1',
      title: 'VM stopped, backup b1: full',
      async run(stage) {
        const b1 = await stage.take('b1');
        assert.equal(b1.type, 'FULL');
        assert.ok(b1.fullReason, 'the reason for a full backup is recorded');
        assert.equal(b1.endOfChain, false);
        assert.deepEqual(
          (await stage.scenario.layers('vda')).map((name) => /\.hf\.qcow2$/.test(name)),
          [true, false],
        );
        // A raw volume gets its delta on top by its first backup.
        assert.deepEqual(
          (await stage.scenario.layers('vdb')).map((name) => /\.hf\.qcow2$/.test(name)),
          [true, false],
        );
      },
    },
    {
      id: 'B2',
      title: 'start, write, b2: incremental',
      async run(stage) {
        const { scenario } = stage;
        await scenario.start();
        await scenario.demandFiles([]);
        await scenario.write(1);
        await scenario.write(1, 'vdb');
        const b2 = await stage.take('b2');
        assert.equal(b2.type, 'INCREMENTAL');
        assert.equal(b2.parentId, stage.get('b1').id);
        for (const volume of b2.volumes) {
          assert.equal(volume.copiedInFull, false);
          assert.ok(BigInt(volume.sizeBytes ?? 0) < 16n << 20n, 'an incremental file holds the changes alone');
        }
        await scenario.demandFiles([1]);
        await scenario.demandFiles([1], 'vdb');
      },
    },
    {
      id: 'B3',
      title: 'stop, restore b1, start: the data of step 2 is absent',
      async run({ scenario, ...stage }) {
        const b1 = stage.backups.get('b1') as Backup;
        await scenario.stop();
        await scenario.restore(b1);
        assert.equal((await scenario.stack.vm(scenario.vm)).headBackupId, undefined, 'a restore ends the chain');
        await scenario.demandDisksEqual(b1, diskEquals);
        await scenario.start();
        await scenario.demandFiles([]);
        await scenario.demandFiles([], 'vdb');
      },
    },
    {
      id: 'B4',
      title: 'stop, restore b2, start: it is present',
      async run({ scenario, ...stage }) {
        const b2 = stage.backups.get('b2') as Backup;
        await scenario.stop();
        await scenario.restore(b2);
        await scenario.demandDisksEqual(b2, diskEquals);
        await scenario.start();
        await scenario.demandFiles([1]);
        await scenario.demandFiles([1], 'vdb');
      },
    },
    {
      id: 'B5',
      title: 'b3, b4, b5, b6: full, incremental, incremental, full',
      async run(stage) {
        const { scenario } = stage;
        const expected = [
          { name: 'b3', type: 'FULL', endOfChain: false },
          { name: 'b4', type: 'INCREMENTAL', endOfChain: false },
          { name: 'b5', type: 'INCREMENTAL', endOfChain: true },
          { name: 'b6', type: 'FULL', endOfChain: false },
        ] as const;
        for (const [index, { name, type, endOfChain }] of expected.entries()) {
          await scenario.write(index + 2);
          if (index % 2 === 0) await scenario.write(index + 2, 'vdb');
          const backup = await stage.take(name);
          assert.equal(backup.type, type, name);
          assert.equal(backup.endOfChain, endOfChain, name);
          const deltas = (await scenario.layers('vda')).filter((layer) => layer.endsWith('.hf.qcow2'));
          assert.equal(deltas.length, endOfChain ? 0 : 1, `deltas on primary after ${name}`);
        }
        assert.equal(stage.get('b4').parentId, stage.get('b3').id);
        assert.equal(stage.get('b5').parentId, stage.get('b4').id);
        await scenario.demandFiles([1, 2, 3, 4, 5]);
        await scenario.demandFiles([1, 2, 4], 'vdb');
      },
    },
  ],
});
