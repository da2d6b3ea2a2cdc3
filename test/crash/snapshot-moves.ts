/**
 * What crash cases of VM snapshots are made of: a tree of snapshots with a branch beside the chain, the operations on it, and
 * the look whether every snapshot still holds what it held (I9).
 */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { imageChain, imagesEqual } from '../testbed/images.js';
import type { CrashBench } from './crash-bench.js';
import type { ContentModel } from './content-model.js';

type SnapshotId = VmSnapshot['id'];

/** Longer chains would say nothing more, and make every case slower. */
const MOST_SNAPSHOTS = 3;

export class SnapshotMoves {
  /** Oldest first: those that must be listed and hold what the model kept. */
  private readonly held: SnapshotId[] = [];
  private turn = 0;
  /** Operation → the snapshot that it reverts to or deletes. */
  private readonly chosen = new Map<string, SnapshotId>();

  constructor(
    private readonly bench: CrashBench,
    private readonly model: ContentModel,
  ) {}

  /** How many snapshots there are. */
  get count(): number {
    return this.held.length;
  }

  /** A restore has ended them all. */
  async forgetAll(): Promise<void> {
    for (const id of this.held.splice(0)) await this.model.forget(id);
  }

  /** New content, and room for one more snapshot. */
  async beforeTaking(power: 'running' | 'stopped'): Promise<void> {
    while (this.held.length >= MOST_SNAPSHOTS) await this.deleteNow(this.held[0]);
    await this.bench.withNewContent(power);
  }

  /** A stopped VM with two snapshots, a backup taken since, and content that must vanish with the tracking of that backup. */
  async beforeReverting(): Promise<void> {
    if (this.held.length < 2) await this.plant(2);
    await this.bench.backups.take('since the snapshots');
    await this.bench.withNewContent('stopped');
  }

  /**
   * volume ← s1 ← s2 ← what is written now, and s2 ← s3 beside it: deleting s1 commits a layer with two children, then
   * deleting s3 removes a branch, then deleting s2 commits the active layer. A tree is used up before the next is planted.
   */
  async beforeDeleting(power: 'running' | 'stopped'): Promise<void> {
    if (this.held.length === 0) {
      await this.plant(3);
      await this.bench.withNewContent('stopped');
      await this.revertNow(this.held[1]);
    }
    await this.bench.withNewContent(power);
  }

  /** One of new content that must succeed: a thing to start from. */
  async takeNow(): Promise<void> {
    await this.bench.withNewContent('running');
    const id = await this.startTaking('no');
    await this.bench.demandSuccess(id);
    await this.concludeTaking(id, true);
  }

  async deleteAll(): Promise<void> {
    while (this.held.length > 0) await this.deleteNow(this.held[0]);
  }

  async startTaking(quiesce: 'no' | 'require'): Promise<string> {
    const { stack, vm } = this.bench;
    return (await stack.api.post<Operation>(`/vms/${vm.uuid}/snapshots`, { quiesce })).id;
  }

  /** To the older and to the newer of two in turns, or to the chosen one. */
  async startReverting(choice?: number): Promise<string> {
    this.turn += 1;
    const snapshot = known(this.held[choice ?? this.turn % 2]);
    const { id } = await this.bench.stack.startRevert({ id: snapshot });
    this.chosen.set(id, snapshot);
    return id;
  }

  /** So that a planted tree is used up as it was meant to, or the chosen one. */
  async startDeleting(choice = this.held.length === 2 ? 1 : 0): Promise<string> {
    const snapshot = known(this.held[choice]);
    const { id } = await this.bench.stack.startSnapshotDeletion({ id: snapshot });
    this.chosen.set(id, snapshot);
    return id;
  }

  async concludeTaking(operationId: string, succeeded: boolean): Promise<void> {
    const { api } = this.bench.stack;
    const { vmSnapshotId } = await api.get<Operation>(`/operations/${operationId}`);
    if (vmSnapshotId === undefined) throw new Error(`operation ${operationId} names no snapshot`);
    const { state } = await api.get<VmSnapshot>(`/vm-snapshots/${vmSnapshotId}`);
    if (state !== (succeeded ? 'Ready' : 'Failed')) {
      throw new Error(`the operation ended ${succeeded ? 'well' : 'badly'}, but the snapshot is ${state}`);
    }
    if (!succeeded) return;
    await this.model.keep(vmSnapshotId);
    this.held.push(vmSnapshotId);
  }

  async concludeReverting(operationId: string, succeeded: boolean): Promise<void> {
    if (succeeded) await this.model.returnTo(known(this.chosen.get(operationId)));
  }

  async concludeDeleting(operationId: string, succeeded: boolean): Promise<void> {
    if (!succeeded) return;
    const gone = known(this.chosen.get(operationId));
    // A restore may have ended it before.
    if (this.held.includes(gone)) this.held.splice(this.held.indexOf(gone), 1);
    await this.model.forget(gone);
  }

  /** I9: exactly the snapshots that were taken and not deleted are there, each with its content. */
  async check(): Promise<void> {
    const listed = (await this.bench.stack.snapshots(this.bench.vm)).filter(({ state }) => state === 'Ready');
    const ids = listed.map(({ id }) => id).sort();
    if (JSON.stringify(ids) !== JSON.stringify([...this.held].sort())) {
      throw new Error(`I9: the snapshots are ${ids.join(', ')}; expected ${this.held.join(', ')}`);
    }
    for (const { id, volumes } of listed) {
      const path = volumes.find(({ target }) => target === 'vdb')?.path ?? '';
      const format = (await imageChain(path))[0]?.format === 'raw' ? 'raw' : 'qcow2';
      if (!(await imagesEqual(path, format, this.model.pathOf(id), 'raw'))) {
        throw new Error(`I9: vdb of snapshot ${id} (${path}) does not hold what it must`);
      }
    }
  }

  /** A line of that many snapshots of a running guest, over a backup, each with content of its own. */
  private async plant(count: number): Promise<void> {
    await this.bench.backups.take('under the snapshots');
    while (this.held.length < count) await this.takeNow();
  }

  private async revertNow(id: SnapshotId | undefined): Promise<void> {
    await this.bench.demandSuccess((await this.bench.stack.startRevert({ id: known(id) })).id);
    await this.model.returnTo(known(id));
  }

  private async deleteNow(id: SnapshotId | undefined): Promise<void> {
    await this.bench.demandSuccess((await this.bench.stack.startSnapshotDeletion({ id: known(id) })).id);
    this.held.splice(this.held.indexOf(known(id)), 1);
    await this.model.forget(known(id));
  }
}

function known(id: SnapshotId | undefined): SnapshotId {
  if (id === undefined) throw new Error('there is no such snapshot');
  return id;
}
