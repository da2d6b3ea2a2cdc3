/** The files of an agent in memory as they hang together: what may go goes by the rules of the real one, one layer at a time. */
import type { Disk, Domain, Layer } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { MergeVolume } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type { ChainChanges } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';

interface File {
  readonly layer: Layer;
  parent: string | undefined;
}

/** Nothing was changed; a new one each time, because what is changed is added to it. */
export function noChanges(): ChainChanges {
  return { removedPaths: [], leftPaths: [], movedPins: [] };
}

export class FakeChains {
  readonly files = new Map<string, File>();
  /** Says of which file somebody reads: it may be merged, and not be deleted. */
  isHeld: (path: string) => boolean = () => false;

  /** Learns the files of a VM, as somebody put them there. */
  learn(domain: Domain): void {
    for (const { layers } of domain.disks) {
      layers.forEach((layer, index) => this.files.set(layer.path, { layer, parent: layers[index + 1]?.path }));
    }
  }

  /** A new, empty layer on another. */
  add(layer: Layer, parent: string): void {
    this.files.set(layer.path, { layer, parent });
  }

  /** The disk with `active` as its active layer. */
  withActive(disk: Disk, active: string): Disk {
    const layers: Layer[] = [];
    for (let next: string | undefined = active; next !== undefined; next = this.files.get(next)?.parent) {
      const file = this.files.get(next);
      if (file === undefined) throw new Error(`no file ${next}`);
      layers.push(file.layer);
    }
    return { ...disk, layers };
  }

  /** Lets go what may go of the volumes. The domain as it is then, and what was changed. */
  settle(domain: Domain, volumes: readonly MergeVolume[]): { domain: Domain; changes: ChainChanges } {
    const changes = noChanges();
    const disks = domain.disks.map((disk) => {
      const volume = volumes.find(({ target }) => target === disk.target);
      const active = disk.layers[0]?.path;
      if (volume === undefined || active === undefined) return disk;
      const foreign = domain.snapshots.flatMap((snapshot) => snapshot.disks.map((held) => held.pinnedPath));
      return this.withActive(disk, this.settleVolume(volume, active, new Set(foreign), changes));
    });
    return { domain: { ...domain, disks }, changes };
  }

  /** The active layer at the end. */
  private settleVolume(volume: MergeVolume, active: string, foreign: ReadonlySet<string>, changes: ChainChanges): string {
    const pins = new Map(volume.pins.map((pin) => [pin.snapshotId, pin.path]));
    const isPinned = (path: string): boolean => foreign.has(path) || [...pins.values()].includes(path);
    const childrenOf = (path: string): File[] => [...this.files.values()].filter(({ parent }) => parent === path);
    for (;;) {
      const fits = volume.deltaPaths.find((path) => {
        const parent = this.files.get(path)?.parent;
        if (parent === undefined || foreign.has(path)) return false;
        const isDeadEnd = path !== active && childrenOf(path).length === 0 && !isPinned(path);
        return isDeadEnd || (!isPinned(parent) && childrenOf(parent).length === 1 && parent !== volume.templatePath);
      });
      if (fits === undefined) return active;
      const parent = this.files.get(fits)?.parent ?? '';
      for (const child of childrenOf(fits)) child.parent = parent;
      for (const [snapshotId, path] of pins) {
        if (path !== fits) continue;
        pins.set(snapshotId, parent);
        changes.movedPins.push({ snapshotId, target: volume.target, path: parent });
      }
      this.files.delete(fits);
      (this.isHeld(fits) ? changes.leftPaths : changes.removedPaths).push(fits);
      if (active === fits) active = parent;
    }
  }
}
