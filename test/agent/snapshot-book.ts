/**
 * What the manager would know of a VM's snapshots, for tests of the agent alone: which layers are ours, which layer holds
 * which snapshot, and a copy of the content that each snapshot must have for ever.
 */
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import type {
  ChainChanges,
  DeleteVmSnapshotsResult,
  MergeVolume,
  QuiesceWish,
  RevertVmSnapshotRequest,
  RevertVmSnapshotResult,
  TakeVmSnapshotRequest,
  TakeVmSnapshotResult,
} from '../../apps/agent/src/commands/requests.js';
import { copyFlat, imagesEqual } from '../testbed/images.js';
import type { TestVm } from '../testbed/test-vm.js';
import type { CommandRig } from './command-rig.js';

interface Snapshot {
  readonly id: string;
  /** Target → the layer that holds it. */
  readonly pins: Map<string, string>;
  /** Target → raw copy. */
  readonly contents: ReadonlyMap<string, string>;
}

const TARGETS = ['vda', 'vdb'];

export class SnapshotBook {
  private readonly snapshots = new Map<string, Snapshot>();
  /** Layers that snapshots and reverts made: path → target. */
  private readonly overlays = new Map<string, string>();
  private readonly names = new Map<string, string>();
  private readonly keys = new Map(TARGETS.map((target) => [target, randomUUID()]));

  constructor(
    private readonly rig: CommandRig,
    private readonly vm: TestVm,
  ) {}

  /** `volume` for a disk's own file, `over s1` for the layer that snapshot s1 put on top, a revert's own name; else the file's name. */
  nameOf(path: string): string {
    return this.names.get(path) ?? (/^vd[ab]\.(qcow2|raw)$/.test(basename(path)) ? 'volume' : basename(path));
  }

  async takeRequest(quiesce: QuiesceWish, targets: readonly string[] = TARGETS): Promise<TakeVmSnapshotRequest> {
    const id = randomUUID();
    const volumes = [];
    for (const target of targets) {
      const activePath = await this.vm.currentFile(target);
      const newOverlayPath = join(this.vm.dir, `${target}.${id}.hs.qcow2`);
      volumes.push({ key: this.keys.get(target) ?? '', target, activePath, newOverlayPath });
    }
    return { header: this.rig.header(), volumes, quiesce, freezeBudgetMs: 10_000 };
  }

  async take(
    name: string,
    { quiesce, targets = TARGETS }: { quiesce: QuiesceWish; targets?: readonly string[] },
  ): Promise<TakeVmSnapshotResult> {
    const request = await this.takeRequest(quiesce, targets);
    const contents = new Map<string, string>();
    for (const target of targets) {
      const copy = join(this.rig.folder, `${request.header.operationId}.${target}.raw`);
      await this.vm.copyDisk(target, copy);
      contents.set(target, copy);
    }
    const result = await this.rig.run<TakeVmSnapshotResult>('TakeVmSnapshot', request);
    const pins = new Map(result.volumes.map((volume) => [volume.target, volume.pinnedPath]));
    // A freeze lets the guest write to its journal first: the copy made before it is not what the snapshot holds.
    this.snapshots.set(name, {
      id: request.header.operationId,
      pins,
      contents: quiesce === 'require' ? await this.flat(pins) : contents,
    });
    for (const { target, overlayPath } of result.volumes) {
      this.overlays.set(overlayPath, target);
      this.names.set(overlayPath, `over ${name}`);
    }
    return result;
  }

  async revertRequest(name: string): Promise<RevertVmSnapshotRequest> {
    const snapshot = this.get(name);
    const id = randomUUID().slice(0, 8);
    const volumes = [];
    for (const [target, pinnedPath] of snapshot.pins) {
      volumes.push({
        key: this.keys.get(target) ?? '',
        target,
        currentPath: await this.vm.currentFile(target),
        pinnedPath,
        newOverlayPath: join(this.vm.dir, `${target}.${id}.hr.qcow2`),
        settle: this.settle(target),
      });
    }
    return { header: this.rig.header(), volumes };
  }

  /** The layer that the revert makes is called `called` from then on. */
  async revert(name: string, called: string): Promise<void> {
    const { volumes, changes } = await this.rig.run<RevertVmSnapshotResult>('RevertVmSnapshot', await this.revertRequest(name));
    for (const { target, overlayPath } of volumes) {
      this.overlays.set(overlayPath, target);
      this.names.set(overlayPath, called);
    }
    this.apply(changes);
  }

  async delete(name: string): Promise<ChainChanges> {
    this.snapshots.delete(name);
    return this.forget([]);
  }

  /** Drops records of libvirt; layers that no snapshot needs go as well. */
  async forget(libvirtSnapshotNames: readonly string[]): Promise<ChainChanges> {
    const volumes = TARGETS.map((target) => this.settle(target));
    const request = { header: this.rig.header(), volumes, libvirtSnapshotNames };
    const { changes } = await this.rig.run<DeleteVmSnapshotsResult>('DeleteVmSnapshots', request);
    this.apply(changes);
    return changes;
  }

  /** Throws when the layer of a snapshot does not show what was there when it was taken. */
  async demandContents(): Promise<void> {
    for (const [name, { pins, contents }] of this.snapshots) {
      for (const [target, path] of pins) {
        if (!(await imagesEqual(path, formatOf(path), contents.get(target) ?? '', 'raw'))) {
          throw new Error(`${target} of snapshot ${name} (${path}) does not hold what it must`);
        }
      }
    }
  }

  private async flat(pins: ReadonlyMap<string, string>): Promise<Map<string, string>> {
    const contents = new Map<string, string>();
    for (const [target, path] of pins) {
      const copy = join(this.rig.folder, `${randomUUID()}.${target}.raw`);
      await copyFlat(path, formatOf(path), copy);
      contents.set(target, copy);
    }
    return contents;
  }

  private settle(target: string): MergeVolume {
    const deltaPaths = [...this.overlays].filter(([, of]) => of === target).map(([path]) => path);
    const pins = [...this.snapshots.values()].flatMap(({ id, pins: held }) => {
      const path = held.get(target);
      return path === undefined ? [] : [{ snapshotId: id, path }];
    });
    return { target, deltaPaths, pins };
  }

  private apply(changes: ChainChanges): void {
    for (const path of changes.removedPaths) this.overlays.delete(path);
    for (const { snapshotId, target, path } of changes.movedPins) {
      [...this.snapshots.values()].find(({ id }) => id === snapshotId)?.pins.set(target, path);
    }
  }

  private get(name: string): Snapshot {
    const found = this.snapshots.get(name);
    if (found === undefined) throw new Error(`snapshot ${name} was not taken`);
    return found;
  }
}

function formatOf(path: string): 'raw' | 'qcow2' {
  return path.endsWith('.raw') ? 'raw' : 'qcow2';
}
