/** Table S: disk-only VM snapshots, a tree of them, and what is left of it when they go. */
import assert from 'node:assert/strict';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';

const TARGETS = ['vda', 'vdb'] as const;

class SnapshotStage {
  private readonly snapshots = new Map<string, VmSnapshot>();
  constructor(readonly scenario: Scenario) {}

  async take(name: string): Promise<void> {
    this.snapshots.set(name, await this.scenario.snapshot({ name }));
  }

  get(name: string): VmSnapshot {
    const found = this.snapshots.get(name);
    if (found === undefined) throw new Error(`snapshot ${name} was not taken`);
    return found;
  }

  /** Stops, reverts and starts; the guest then has exactly these files on both disks. */
  async revert(name: string, files: readonly number[]): Promise<void> {
    const { scenario } = this;
    await scenario.stop();
    await scenario.revert(this.get(name));
    await scenario.start();
    for (const target of TARGETS) await scenario.demandFiles(files, target);
  }

  async write(n: number): Promise<void> {
    for (const target of TARGETS) await this.scenario.write(n, target);
  }

  /**
   * Each disk's chain, from its active layer down: `hs s1` is the overlay that snapshot s1 put on, `hr` one of a revert,
   * `volume` the disk's own file.
   */
  async demandLayers(expected: readonly string[]): Promise<void> {
    const ids = [...this.snapshots].map(([name, { id }]) => [id, name] as const);
    for (const target of TARGETS) {
      const words = (await this.scenario.layers(target)).map((file) => {
        const [, id, kind] = /\.([0-9a-f-]+)\.(h[sr])\.qcow2$/.exec(file) ?? [];
        if (kind === undefined) return /^vd[ab]\.(qcow2|raw)$/.test(file) ? 'volume' : file;
        return kind === 'hr' ? 'hr' : `hs ${ids.find(([known]) => known === id)?.[1] ?? id}`;
      });
      assert.deepEqual(words, expected, `chain of ${target}`);
    }
  }

  /** Names of the snapshots that are listed, oldest first. */
  async listed(): Promise<string[]> {
    const found = await this.scenario.stack.snapshots(this.scenario.vm);
    return found.map(({ name }) => name).sort();
  }
}

export const snapshotRows = rowGroup<SnapshotStage>({
  async open(stack) {
    const scenario = await Scenario.open(stack, { name: 'snapshots' });
    await scenario.start();
    return new SnapshotStage(scenario);
  },
  close: (stage) => stage.scenario.close(),
  rows: [
    {
      id: 'S1',
      title: 'take a disk-only VM snapshot',
      async run(stage) {
        await stage.write(1);
        await stage.take('s1');
        await stage.demandLayers(['hs s1', 'volume']);
        assert.equal(stage.get('s1').state, 'Ready');
        assert.equal(stage.get('s1').current, true);
        assert.equal(await stage.scenario.vm.domstate(), 'running');
      },
    },
    {
      id: 'S2',
      title: 'take another',
      async run(stage) {
        await stage.write(2);
        await stage.take('s2');
        await stage.demandLayers(['hs s2', 'hs s1', 'volume']);
        assert.equal(stage.get('s2').parentId, stage.get('s1').id);
        assert.deepEqual(await stage.listed(), ['s1', 's2']);
        await stage.write(3);
      },
    },
    {
      id: 'S3',
      title: 'stop, revert to snapshot 2, start: the right layers, content of 2',
      async run(stage) {
        await stage.revert('s2', [1, 2]);
        await stage.demandLayers(['hr', 'hs s1', 'volume']);
      },
    },
    {
      id: 'S4',
      title: 'stop, revert to snapshot 1, start: likewise, content of 1',
      async run(stage) {
        await stage.write(4);
        await stage.revert('s1', [1]);
        await stage.demandLayers(['hr', 'volume']);
        assert.deepEqual(await stage.listed(), ['s1', 's2'], 'the snapshot beside the chain is still there');
      },
    },
    {
      id: 'S5',
      title: 'take snapshot 3',
      async run(stage) {
        await stage.write(5);
        await stage.take('s3');
        await stage.demandLayers(['hs s3', 'hr', 'volume']);
        assert.equal(stage.get('s3').parentId, stage.get('s1').id);
        await stage.write(6);
      },
    },
    {
      id: 'S6',
      title: 'remove snapshot 1: marked removed, its layer stays',
      async run(stage) {
        const { scenario } = stage;
        await scenario.deleteSnapshot(stage.get('s1'));
        await stage.demandLayers(['hs s3', 'hr', 'volume']);
        assert.deepEqual(await stage.listed(), ['s2', 's3']);
        assert.equal((await scenario.stack.api.get<VmSnapshot>(`/vm-snapshots/${stage.get('s1').id}`)).state, 'Removed');
      },
    },
    {
      id: 'S7',
      title: 'remove snapshot 3: merged with the current volume',
      async run(stage) {
        await stage.scenario.deleteSnapshot(stage.get('s3'));
        await stage.demandLayers(['hr', 'volume']);
        for (const target of TARGETS) await stage.scenario.demandFiles([1, 5, 6], target);
      },
    },
    {
      id: 'S8',
      title: 'remove snapshot 2: removed; layer of 1 merged with the current volume',
      async run(stage) {
        const { scenario } = stage;
        await scenario.deleteSnapshot(stage.get('s2'));
        await stage.demandLayers(['volume']);
        for (const target of TARGETS) await scenario.demandFiles([1, 5, 6], target);
        assert.deepEqual(await stage.listed(), []);
        const removed = await scenario.stack.api.list<VmSnapshot>(`/vms/${scenario.vm.uuid}/snapshots`, { state: 'Removed' });
        assert.deepEqual(removed, [], 'the removed one went with the last branch that needed it');
      },
    },
  ],
});
