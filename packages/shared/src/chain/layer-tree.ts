/**
 * The layers of one volume as they hang together: its active chain, and the branches beside it that VM snapshots need.
 * Pure. Owns the shape and the questions to it; decides nothing.
 */
import { HoldfastError } from '../errors/holdfast-error.js';

export interface LayerTree {
  /** Layer → the layer that backs it; undefined: it is a bottom. Every layer that is named anywhere is a key. */
  readonly parents: ReadonlyMap<string, string | undefined>;
  /** The layer that the VM writes to, or would write to when it is started. */
  readonly active: string;
  /** Layer → our snapshots whose content this layer shows. They move with their content. */
  readonly pins: ReadonlyMap<string, readonly string[]>;
  /** Layers that another tool's snapshots name: their files must stay, and what they show. */
  readonly foreignPins: ReadonlySet<string>;
}

/** Throws CHAIN_UNEXPLAINED unless the tree is one: every parent known, no way back to itself, an active layer that exists. */
export function demandTree(tree: LayerTree): void {
  if (!tree.parents.has(tree.active)) throw unexplained(`the active layer ${tree.active} is not among the layers`, tree.active);
  for (const [path, parent] of tree.parents) {
    if (parent !== undefined && !tree.parents.has(parent))
      throw unexplained(`${path} is backed by ${parent}, which is unknown`, path);
    chainOf(tree, path);
  }
  for (const path of [...tree.pins.keys(), ...tree.foreignPins]) {
    if (!tree.parents.has(path)) throw unexplained(`the snapshot layer ${path} is not among the layers`, path);
  }
}

/** A layer and everything under it, top first. CHAIN_UNEXPLAINED when it comes back to itself. */
export function chainOf(tree: LayerTree, path: string): string[] {
  const chain: string[] = [];
  for (let next: string | undefined = path; next !== undefined; next = tree.parents.get(next)) {
    if (chain.includes(next)) throw unexplained(`the backing chain of ${path} comes back to ${next}`, path);
    chain.push(next);
  }
  return chain;
}

/** The layers that are backed by this one. */
export function childrenOf(tree: LayerTree, path: string): string[] {
  return [...tree.parents].filter(([, parent]) => parent === path).map(([child]) => child);
}

/** True when a snapshot, ours or another tool's, needs what this layer shows. */
export function isPinned(tree: LayerTree, path: string): boolean {
  return tree.foreignPins.has(path) || (tree.pins.get(path) ?? []).length > 0;
}

function unexplained(what: string, path: string): HoldfastError {
  return new HoldfastError('CHAIN_UNEXPLAINED', `The layers of the disk cannot be explained: ${what}. Nothing was changed.`, {
    path,
  });
}
