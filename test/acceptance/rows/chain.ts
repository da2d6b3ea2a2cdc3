/** Table B: chains of three backups, stopped and running, restored, continued, deleted from every place. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup, Deletion, Usage } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { vmFolder } from '@holdfast/shared/manifest/paths.js';
import { waitForSuccess } from '../../system/operations.js';
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

  /** Deletes these in one call, then checks every invariant. */
  async remove(backups: readonly Backup[]): Promise<void> {
    const ids = backups.map(({ id }) => id);
    await this.ended(await this.scenario.stack.api.post<Deletion>('/backups/actions/delete', { ids }));
  }

  async ended({ operations }: Deletion): Promise<void> {
    for (const { id } of operations) await waitForSuccess(this.scenario.stack.api, id);
    await this.scenario.demandInvariants();
  }

  states(...names: readonly string[]): Promise<string[]> {
    const { api } = this.scenario.stack;
    return Promise.all(names.map(async (name) => (await api.get<Backup>(`/backups/${this.get(name).id}`)).state));
  }

  /** Backups that have a folder on the storage. */
  folders(): Promise<string[]> {
    const { vm, storage } = this.scenario;
    return readdir(join(storage.media.path, vmFolder(vm.uuid))).catch(() => []);
  }

  async demandNoDelta(): Promise<void> {
    for (const target of ['vda', 'vdb']) {
      const layers = await this.scenario.layers(target);
      assert.ok(!layers.some((layer) => layer.endsWith('.hf.qcow2')), `no delta of ${target} is left: ${layers.join(', ')}`);
    }
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
    {
      id: 'B6',
      title: 'delete b6: the delta on primary is merged',
      async run(stage) {
        const { scenario } = stage;
        await stage.remove([stage.get('b6')]);
        assert.deepEqual(await stage.states('b6'), ['Expunged']);
        await stage.demandNoDelta();
        assert.equal((await scenario.stack.vm(scenario.vm)).headBackupId, undefined, 'the open chain has ended');
        await scenario.demandFiles([1, 2, 3, 4, 5]);
        await scenario.demandFiles([1, 2, 4], 'vdb');
      },
    },
    {
      id: 'B7',
      title: 'delete b4 and b5: b4 is only marked removed while b5 lives; files go when nothing needs them',
      async run(stage) {
        const { scenario } = stage;
        const [b3, b4, b5] = [stage.get('b3'), stage.get('b4'), stage.get('b5')];
        await stage.remove([b4]);
        assert.deepEqual(await stage.states('b3', 'b4', 'b5'), ['BackedUp', 'Removed', 'BackedUp']);
        assert.deepEqual((await stage.folders()).includes(b4.id), true, 'the files of b4 are there');
        const listed = await scenario.stack.api.list<Backup>('/backups', { vmId: scenario.vm.uuid });
        assert.ok(!listed.some(({ id }) => id === b4.id), 'b4 is not listed');
        // b5 is whole: its chain goes through the files of b4.
        await scenario.stop();
        await scenario.restore(b5);
        await scenario.demandDisksEqual(b5, diskEquals);
        await stage.remove([b5]);
        assert.deepEqual(await stage.states('b3', 'b4', 'b5'), ['BackedUp', 'Expunged', 'Expunged']);
        assert.equal((await scenario.stack.api.get<Backup>(`/backups/${b3.id}`)).endOfChain, true);
        const folders = await stage.folders();
        assert.deepEqual(
          [b3.id, b4.id, b5.id].map((id) => folders.includes(id)),
          [true, false, false],
        );
      },
    },
    {
      id: 'B8',
      title: 'delete all others at once: all gone, storage empty',
      async run(stage) {
        const { scenario } = stage;
        const { api } = scenario.stack;
        const counted = await api.get<{ items: Usage[] }>('/usage', { storageId: scenario.storage.storage.id });
        assert.equal(counted.items[0]?.backups, 3);
        const answer = await api.post<Deletion>('/backups/actions/delete', { vmId: scenario.vm.uuid, all: true });
        await stage.ended(answer);
        assert.deepEqual(await stage.states('b1', 'b2', 'b3'), ['Expunged', 'Expunged', 'Expunged']);
        assert.deepEqual(await stage.folders(), []);
        const left = await api.get<{ items: Usage[] }>('/usage', { storageId: scenario.storage.storage.id });
        assert.deepEqual(left.items, [], 'nothing is counted any more');
      },
    },
    {
      id: 'B9',
      title: 'new backup: ok',
      async run(stage) {
        await stage.scenario.start();
        const b7 = await stage.take('b7');
        assert.equal(b7.type, 'FULL');
        await stage.scenario.write(6);
      },
    },
    {
      id: 'B10',
      title: 'remove the VM from its offering: deltas on primary merged',
      async run(stage) {
        const { stack, vm } = stage.scenario;
        await waitForSuccess(stack.api, (await stack.api.delete<Operation>(`/vms/${vm.uuid}/backup-offering`)).id);
        await stage.demandNoDelta();
        assert.deepEqual(await stage.states('b7'), ['BackedUp'], 'the backup stays');
      },
    },
    {
      id: 'B11',
      title: 'delete that backup: ok',
      async run(stage) {
        await stage.remove([stage.get('b7')]);
        assert.deepEqual(await stage.states('b7'), ['Expunged']);
        assert.deepEqual(await stage.folders(), []);
        await stage.scenario.demandFiles([1, 2, 3, 4, 6]);
      },
    },
  ],
});
