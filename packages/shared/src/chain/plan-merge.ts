/**
 * Plans how deltas of ours go down into what is under them, for one disk with one line of layers. Pure: chain in, steps out.
 * Must not know how a commit is done, nor whether a backup is published: the caller names the deltas that may go.
 *
 * Semantics. Layers are given from the active one (first) to the bottom. Merging a delta moves its clusters into its direct
 * backing file and takes it out of the line: the layer above it, if any, is backed by that file from then on; if there is
 * none, that file is the active layer. So what every remaining layer shows stays the same, except the file merged into,
 * which from then on shows what the delta showed. Steps are ordered from the bottom up, so that a delta over another delta
 * is merged into what that one was merged into, and after every single step the disk is whole.
 */
import { HoldfastError } from '../errors/holdfast-error.js';

/** What the planner needs to know of a layer. */
export interface PlanLayer {
  readonly path: string;
}

export interface MergeStep {
  readonly kind: 'commit';
  /** The delta that goes … */
  readonly top: string;
  /** … into this file, its direct backing. */
  readonly base: string;
  /** `top` is the active layer: running, the job needs a pivot; stopped, the definition is pointed at `base` afterwards. */
  readonly active: boolean;
  /** The layer above `top`: stopped, its header is repointed to `base` afterwards (running, QEMU does it). Undefined when active. */
  readonly childOfTop: string | undefined;
  readonly running: boolean;
  /** Paths of the chain from the active layer down, after this step. */
  readonly layersAfter: readonly string[];
}

export interface MergeWish {
  /** The observed chain of one disk, active layer first. */
  readonly layers: readonly PlanLayer[];
  /** Deltas of ours that are to be merged down. */
  readonly mergePaths: ReadonlySet<string>;
  readonly running: boolean;
  /** The volume's template: it and what is under it belongs to others and is never written to. */
  readonly templatePath?: string;
}

export interface MergePlan {
  readonly steps: readonly MergeStep[];
  /** Wished for and not in the chain (any more). */
  readonly alreadyMerged: readonly string[];
}

/**
 * The steps, bottom-most delta first. CHAIN_UNEXPLAINED when a delta has nothing under it, when what is under it is the
 * template, or when the chain names a path twice.
 */
export function planMerge(wish: MergeWish): MergePlan {
  let chain = wish.layers.map((layer) => layer.path);
  demandNoRepetition(chain);
  const steps: MergeStep[] = [];
  const wanted = chain.filter((path) => wish.mergePaths.has(path)).reverse();
  for (const top of wanted) {
    const index = chain.indexOf(top);
    const base = chain[index + 1];
    if (base === undefined) {
      throw new HoldfastError(
        'CHAIN_UNEXPLAINED',
        `The delta ${top} has no backing file, so it cannot be merged into anything.`,
        { path: top },
      );
    }
    if (belongsToTemplate(wish, base)) {
      throw new HoldfastError(
        'CHAIN_UNEXPLAINED',
        `The delta ${top} lies directly on the template ${base}, which is never written to.`,
        { path: top, base },
      );
    }
    chain = chain.filter((path) => path !== top);
    steps.push({
      kind: 'commit',
      top,
      base,
      active: index === 0,
      childOfTop: index === 0 ? undefined : chain[index - 1],
      running: wish.running,
      layersAfter: chain,
    });
  }
  const present = new Set(wanted);
  return { steps, alreadyMerged: [...wish.mergePaths].filter((path) => !present.has(path)) };
}

function belongsToTemplate(wish: MergeWish, path: string): boolean {
  if (wish.templatePath === undefined) return false;
  const paths = wish.layers.map((layer) => layer.path);
  const template = paths.indexOf(wish.templatePath);
  return template !== -1 && paths.indexOf(path) >= template;
}

function demandNoRepetition(chain: readonly string[]): void {
  const twice = chain.find((path, index) => chain.indexOf(path) !== index);
  if (twice === undefined) return;
  throw new HoldfastError('CHAIN_UNEXPLAINED', `The chain names ${twice} twice.`, { path: twice });
}
