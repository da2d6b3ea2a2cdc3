/**
 * What must hold of a VM's snapshots at rest: I9 each one shows what the disks held when it was taken, and no layer is kept
 * that no snapshot needs. Works on content and headers, without the product's code; changes nothing.
 */
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { imageChain, imagesEqual } from '../testbed/images.js';
import type { TestVm } from '../testbed/test-vm.js';
import type { References } from './references.js';
import type { SystemStack } from './system-stack.js';

/** Layers that snapshots and reverts made, by their names. */
const overlay = /\.(hs|hr)\.qcow2$/;

/** The layers of a VM as a tree: its active chains and those of its snapshots. */
export class LayerTree {
  /** Layer → what lies directly on it. */
  private readonly children = new Map<string, Set<string>>();
  readonly layers = new Set<string>();

  constructor(
    readonly snapshots: readonly VmSnapshot[],
    readonly chains: readonly (readonly string[])[],
  ) {
    for (const chain of chains) {
      chain.forEach((layer, index) => {
        this.layers.add(layer);
        const child = chain[index - 1];
        if (child !== undefined) this.children.set(layer, (this.children.get(layer) ?? new Set()).add(child));
      });
    }
  }

  /** Why a layer of ours cannot be merged into what is under it; undefined: nothing forbids it. */
  whyKept(layer: string): string | undefined {
    const parent = [...this.children].find(([, over]) => over.has(layer))?.[0];
    if (parent === undefined) return 'nothing is under it';
    if (this.isPinned(parent)) return 'a snapshot needs the layer below';
    if ((this.children.get(parent)?.size ?? 0) > 1) return 'two branches lie on the layer below';
    if (this.isPinned(layer, 'libvirt')) return 'a record of virsh names it';
    return undefined;
  }

  private isPinned(path: string, origin?: VmSnapshot['origin']): boolean {
    return this.snapshots.some(
      (snapshot) =>
        (origin === undefined || snapshot.origin === origin) && snapshot.volumes.some((volume) => volume.path === path),
    );
  }
}

/** The tree of a VM; `activeChains` as the images say, from the active layer down. */
export async function readLayerTree(
  stack: SystemStack,
  vm: TestVm,
  activeChains: readonly (readonly string[])[],
): Promise<LayerTree> {
  const snapshots = (await stack.snapshots(vm)).filter(({ state }) => state === 'Ready');
  const chains = [...activeChains];
  for (const { path } of snapshots.flatMap(({ volumes }) => volumes)) {
    chains.push((await imageChain(path)).map(({ filename }) => filename));
  }
  return new LayerTree(snapshots, chains);
}

export async function snapshotViolations(tree: LayerTree, references: References): Promise<string[]> {
  const found: string[] = [];
  for (const layer of tree.layers) {
    if (overlay.test(layer) && tree.whyKept(layer) === undefined)
      found.push(`I3: ${layer} is kept although no snapshot needs it`);
  }
  for (const { id, name, volumes } of tree.snapshots) {
    for (const { target, path } of volumes) {
      const copy = references.of(id)?.get(target);
      const [top] = await imageChain(path);
      if (copy === undefined || top === undefined) continue;
      const same = await imagesEqual(path, top.format === 'raw' ? 'raw' : 'qcow2', copy, 'raw');
      if (!same) found.push(`I9: ${target} of snapshot ${name} (${path}) is not what the disk held when it was taken`);
    }
  }
  return found;
}
