/** Table I, rows 6 to 17: backups and VM snapshots in one chain, reverted, restored and continued. */
import assert from 'node:assert/strict';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

class SnapshotBackupStage {
  private readonly backups = new Map<string, Backup>();
  private readonly snapshots = new Map<string, VmSnapshot>();
  constructor(readonly scenario: Scenario) {}

  async backup(name: string, type: Backup['type']): Promise<Backup> {
    const backup = await this.scenario.backup({ name });
    assert.equal(backup.type, type, `${name}, because ${backup.fullReason ?? ''}`);
    this.backups.set(name, backup);
    return backup;
  }

  async snapshot(name: string): Promise<void> {
    this.snapshots.set(name, await this.scenario.snapshot({ name, quiesce: 'no' }));
  }

  async restore(name: string, files: readonly number[]): Promise<void> {
    const backup = this.backups.get(name);
    if (backup === undefined) throw new Error(`backup ${name} was not taken`);
    await this.scenario.stop();
    await this.scenario.restore(backup);
    await this.scenario.demandDisksEqual(backup, diskEquals);
    await this.startWith(files);
  }

  async revert(name: string, files: readonly number[]): Promise<void> {
    await this.scenario.stop();
    await this.scenario.revert(this.known(name));
    for (const target of ['vda', 'vdb']) {
      const layers = await this.scenario.layers(target);
      assert.match(layers[0] ?? '', /\.hr\.qcow2$/);
      assert.deepEqual(
        layers.filter((layer) => layer.endsWith('.hf.qcow2')),
        [],
        `no backup delta is left in the chain of ${target}`,
      );
    }
    assert.equal((await this.scenario.stack.vm(this.scenario.vm)).headBackupId, undefined, 'a revert ends the chain');
    await this.startWith(files);
  }

  known(name: string): VmSnapshot {
    const snapshot = this.snapshots.get(name);
    if (snapshot === undefined) throw new Error(`snapshot ${name} was not taken`);
    return snapshot;
  }

  async write(n: number): Promise<void> {
    await this.scenario.write(n);
    await this.scenario.write(n, 'vdb');
  }

  private async startWith(files: readonly number[]): Promise<void> {
    await this.scenario.start();
    await this.scenario.demandFiles(files);
    await this.scenario.demandFiles(files, 'vdb');
  }
}

export const snapshotBackupRows = rowGroup<SnapshotBackupStage>({
  async open(stack) {
    const scenario = await Scenario.open(stack, { name: 'both', chainSize: 8 });
    await scenario.start();
    return new SnapshotBackupStage(scenario);
  },
  close: (stage) => stage.scenario.close(),
  rows: [
    {
      id: 'I6',
      title: 'file 1, b1',
      async run(stage) {
        await stage.write(1);
        await stage.backup('b1', 'FULL');
      },
    },
    {
      id: 'I7',
      title: 'file 2, VM snapshot s1',
      async run(stage) {
        await stage.write(2);
        await stage.snapshot('s1');
        assert.equal((await stage.scenario.layers('vda')).length, 3);
      },
    },
    {
      id: 'I8',
      title: 'file 3, s2',
      async run(stage) {
        await stage.write(3);
        await stage.snapshot('s2');
      },
    },
    {
      id: 'I9',
      title: 'file 4, b2: incremental over both snapshots, one file per volume',
      async run(stage) {
        await stage.write(4);
        const b2 = await stage.backup('b2', 'INCREMENTAL');
        assert.ok(b2.volumes.every((volume) => !volume.copiedInFull));
        // The delta of b1 went into the volume, and s1 with it.
        const layers = await stage.scenario.layers('vda');
        assert.deepEqual(
          layers.map((layer) => /\.(h[fs])\.qcow2$/.exec(layer)?.[1] ?? 'volume'),
          ['hf', 'hs', 'hs', 'volume'],
        );
      },
    },
    {
      id: 'I10',
      title: 'file 5, b3',
      async run(stage) {
        await stage.write(5);
        await stage.backup('b3', 'INCREMENTAL');
        await stage.scenario.demandFiles([1, 2, 3, 4, 5]);
      },
    },
    {
      id: 'I11',
      title: 'stop, revert to s1, start: files 1, 2',
      run: (stage) => stage.revert('s1', [1, 2]),
    },
    {
      id: 'I12',
      title: 'stop, revert to s2, start: files 1, 2, 3',
      run: (stage) => stage.revert('s2', [1, 2, 3]),
    },
    {
      id: 'I13',
      title: 'remove the VM snapshots',
      async run(stage) {
        const { scenario } = stage;
        for (const name of ['s1', 's2']) await scenario.deleteSnapshot(stage.known(name));
        assert.deepEqual(await scenario.stack.snapshots(scenario.vm), []);
        assert.deepEqual(await scenario.layers('vda'), ['vda.qcow2']);
        assert.deepEqual(await scenario.layers('vdb'), ['vdb.raw']);
        await scenario.demandFiles([1, 2, 3]);
      },
    },
    { id: 'I14', title: 'restore b1: file 1', run: (stage) => stage.restore('b1', [1]) },
    { id: 'I15', title: 'restore b2: files 1 to 4', run: (stage) => stage.restore('b2', [1, 2, 3, 4]) },
    { id: 'I16', title: 'restore b3: files 1 to 5', run: (stage) => stage.restore('b3', [1, 2, 3, 4, 5]) },
    {
      id: 'I17',
      title: 'backup b4: ok',
      async run(stage) {
        await stage.write(6);
        await stage.backup('b4', 'FULL');
      },
    },
  ],
});
