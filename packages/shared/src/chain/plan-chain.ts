/**
 * Plans which layers of a volume go, and how. Pure: the observed tree and what may go in, removals out. The one planner for
 * backup, undo, restore, clean-up, snapshots and recovery. Must not know how a commit is done, nor why a layer may go.
 *
 * A layer of ours that may go
 * 1. is deleted when it is not active, nothing lies on it and no snapshot needs it;
 * 2. is merged into its parent when the parent may change: it is not the volume's template nor used by another VM, not
 *    active, has no other child, and no snapshot needs what it shows. What lay on the layer lies on the parent then, and our
 *    snapshots of the layer are of the parent then (it shows the same). A layer that another tool's snapshot names is not
 *    merged: that record would name a file that is gone;
 * 3. stays otherwise. A layer that may not go never goes.
 *
 * Which layers go does not depend on the order (once dead ends are gone, merging one layer changes no condition of another),
 * so a plan made again after a death between any two steps ends in the same tree.
 */
import { HoldfastError } from '../errors/holdfast-error.js';
import { chainOf, childrenOf, demandTree, isPinned, type LayerTree } from './layer-tree.js';

export interface ChainWish {
  readonly tree: LayerTree;
  /** Layers of ours that may go. */
  readonly removable: ReadonlySet<string>;
  /** Layers that are not the volume's alone (its template and below, files that other VMs use): neither written nor deleted. */
  readonly untouchable: ReadonlySet<string>;
  /**
   * Layers beside the active chain that are proven to show what their parent shows: a merge that was interrupted after its
   * commit. They need no commit, and the parent may have other children by now: those that were repointed already.
   */
  readonly committed?: ReadonlySet<string>;
}

/** What becomes of one layer, with the reason when it stays (a phrase that follows "stays, because "). */
export type Fate =
  | { readonly kind: 'delete' }
  | { readonly kind: 'merge'; readonly into: string; readonly commit: boolean }
  | { readonly kind: 'stays'; readonly because: string };

/** One layer that goes. */
export type Removal =
  | { readonly kind: 'delete'; readonly path: string }
  | {
      readonly kind: 'merge';
      readonly path: string;
      readonly into: string;
      /** False: its content is in `into` already. */
      readonly commit: boolean;
      /** Where it lies: the active layer, further down in the active chain, or beside it. */
      readonly place: 'active' | 'chain' | 'branch';
      /** Layers on it that are not in the active chain: their headers are repointed one by one. */
      readonly branches: readonly string[];
      /** Our snapshots that move to `into`. */
      readonly pins: readonly string[];
    };

/** One thing that is done, whole or not at all as far as the tree is concerned. */
export type ChainStep =
  /**
   * The content of `path` goes into `into`. Of a layer in the active chain, what lies on it in that chain is repointed with
   * it (or `into` becomes active).
   */
  | { readonly kind: 'commit'; readonly path: string; readonly into: string }
  | { readonly kind: 'repoint'; readonly path: string; readonly into: string }
  /** The file goes; its snapshots are of `movesPinsTo` from then on. */
  | { readonly kind: 'delete'; readonly path: string; readonly movesPinsTo?: string };

export interface ChainPlan {
  readonly removals: readonly Removal[];
  /** The tree when all of them are done. */
  readonly after: LayerTree;
  /** Layers that may go, are there and stay, with the reason. */
  readonly staying: ReadonlyMap<string, string>;
}

/** Dead ends first, then merges from the bottom up. CHAIN_UNEXPLAINED when the tree is none, or a delta has lost what it was put on. */
export function planChain(wish: ChainWish): ChainPlan {
  demandTree(wish.tree);
  let tree = wish.tree;
  const removals: Removal[] = [];
  const go = (removal: Removal): void => {
    removals.push(removal);
    for (const step of stepsOf(removal)) tree = applyStep(tree, step);
  };
  const there = () => [...wish.removable].filter((path) => tree.parents.has(path)).sort();
  for (;;) {
    const dead = there().find((path) => fateOf({ ...wish, tree }, path).kind === 'delete');
    if (dead === undefined) break;
    go({ kind: 'delete', path: dead });
  }
  const depth = new Map(there().map((path) => [path, chainOf(tree, path).length]));
  for (const path of there().sort((a, b) => (depth.get(a) ?? 0) - (depth.get(b) ?? 0))) {
    const fate = fateOf({ ...wish, tree }, path);
    if (fate.kind === 'merge') go(mergeOf(tree, path, fate));
  }
  const staying = new Map<string, string>();
  for (const path of there()) {
    const fate = fateOf({ ...wish, tree }, path);
    if (fate.kind !== 'stays') throw new HoldfastError('BUG', `The plan leaves ${path}, which may go (${fate.kind}).`, { path });
    staying.set(path, fate.because);
  }
  return { removals, after: tree, staying };
}

/** What the rules say of one layer that may go, in the tree as it is. */
export function fateOf(wish: Omit<ChainWish, 'removable'>, path: string): Fate {
  const { tree, untouchable } = wish;
  const stays = (because: string): Fate => ({ kind: 'stays', because });
  if (untouchable.has(path)) return stays('it belongs to the template or is used by another VM');
  const children = childrenOf(tree, path);
  const active = path === tree.active;
  if (!active && children.length === 0 && !isPinned(tree, path)) return { kind: 'delete' };
  if (tree.foreignPins.has(path)) return stays('a snapshot that libvirt keeps record of (virsh) names it');
  if (active && children.length > 0) return stays(`it is in use, and ${children.join(', ')} lies on it`);
  const into = tree.parents.get(path);
  if (into === undefined) {
    throw new HoldfastError('CHAIN_UNEXPLAINED', `The delta ${path} has no backing file, so it cannot be merged into anything.`, {
      path,
    });
  }
  if (into === tree.active) return stays(`it lies on ${into}, which is in use`);
  if (untouchable.has(into)) return stays(`${into} under it is a template or used by another VM`);
  const beside = !chainOf(tree, tree.active).includes(path);
  if (beside && wish.committed?.has(path) === true) return { kind: 'merge', into, commit: false };
  if (isPinned(tree, into)) return stays(`a snapshot needs the content of ${into} under it`);
  if (childrenOf(tree, into).length > 1) return stays(`${into} under it has another layer on it`);
  return { kind: 'merge', into, commit: true };
}

/** The steps of a removal, in their order. A snapshot's content is in the removed layer until it is deleted, and from then on in the parent. */
export function stepsOf(removal: Removal): ChainStep[] {
  if (removal.kind === 'delete') return [{ kind: 'delete', path: removal.path }];
  const { path, into } = removal;
  return [
    ...(removal.commit ? [{ kind: 'commit' as const, path, into }] : []),
    ...removal.branches.map((branch) => ({ kind: 'repoint' as const, path: branch, into })),
    { kind: 'delete', path, movesPinsTo: into },
  ];
}

/** The tree that is expected after a step. */
export function applyStep(tree: LayerTree, step: ChainStep): LayerTree {
  const parents = new Map(tree.parents);
  if (step.kind === 'repoint') return { ...tree, parents: parents.set(step.path, step.into) };
  if (step.kind === 'delete') {
    parents.delete(step.path);
    const pins = new Map(tree.pins);
    pins.delete(step.path);
    const moved = tree.pins.get(step.path) ?? [];
    if (step.movesPinsTo !== undefined && moved.length > 0) {
      pins.set(step.movesPinsTo, [...(tree.pins.get(step.movesPinsTo) ?? []), ...moved]);
    }
    return { ...tree, parents, pins };
  }
  const chain = chainOf(tree, tree.active);
  const place = chain.indexOf(step.path);
  if (place === 0) return { ...tree, active: step.into };
  const child = place === -1 ? undefined : chain[place - 1];
  return child === undefined ? tree : { ...tree, parents: parents.set(child, step.into) };
}

function mergeOf(tree: LayerTree, path: string, { into, commit }: { into: string; commit: boolean }): Removal {
  const chain = chainOf(tree, tree.active);
  const place = path === tree.active ? 'active' : chain.includes(path) ? 'chain' : 'branch';
  const branches = childrenOf(tree, path)
    .filter((child) => !chain.includes(child))
    .sort();
  return { kind: 'merge', path, into, commit, place, branches, pins: tree.pins.get(path) ?? [] };
}
