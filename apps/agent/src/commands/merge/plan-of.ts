/**
 * The plan of one disk from what is there now. Owns the proof that a merge which was interrupted after its commit needs
 * only its end; the rules are the planner's.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { chainOf, childrenOf, isPinned } from '@holdfast/shared/chain/layer-tree.js';
import { fateOf, planChain, type ChainPlan, type ChainWish } from '@holdfast/shared/chain/plan-chain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../../logging/log.js';
import type { CommandPorts } from '../ports.js';
import type { MergeVolume } from '../requests.js';
import { withHypervisor } from '../shared/observe-settled.js';
import { observeTree, type VolumeTree } from './observe-tree.js';

/** What goes of `volume.deltaPaths`, and what stays and why. Changes nothing; may read whole layers. */
export async function planOf(ports: CommandPorts, domain: ObservedDomain, volume: MergeVolume, log: Log): Promise<ChainPlan> {
  const seen = await observeTree(ports, domain, volume);
  const untouchable = await untouchableOf(ports, domain, seen);
  const wish: ChainWish = { tree: seen.tree, removable: seen.removable, untouchable };
  return planChain({ ...wish, committed: await committedOf(ports, wish, seen, log) });
}

/** What no plan may touch, as it is now: the template, and what another VM of this host uses with all that is under it. */
export async function untouchableOf(
  ports: CommandPorts,
  domain: ObservedDomain,
  { tree, template, realPaths }: VolumeTree,
): Promise<ReadonlySet<string>> {
  const others = await withHypervisor(ports, () => ports.hypervisor.pathsInUseByOthers(domain.uuid));
  const used = [...realPaths].filter(([path, real]) => others.has(path) || others.has(real)).map(([path]) => path);
  return new Set([...template, ...used.flatMap((path) => chainOf(tree, path))]);
}

/**
 * Layers beside the active chain that stay only because their parent has other layers on it, although they show exactly what
 * the parent shows: those other layers were repointed when the merge was interrupted. Contents are compared; a difference
 * mostly shows at once.
 */
async function committedOf(
  ports: CommandPorts,
  wish: ChainWish,
  { formats }: VolumeTree,
  log: Log,
): Promise<ReadonlySet<string>> {
  const { tree, removable } = wish;
  const committed = new Set<string>();
  const chain = chainOf(tree, tree.active);
  for (const path of removable) {
    const into = tree.parents.get(path);
    if (into === undefined || chain.includes(path) || isPinned(tree, into) || childrenOf(tree, into).length < 2) continue;
    // Would it go if its content were known to be there?
    if (fateOf({ ...wish, committed: new Set([path]) }, path).kind !== 'merge') continue;
    try {
      const format = (layer: string) => formats.get(layer) ?? 'qcow2';
      if (await ports.images.equal({ path, format: format(path) }, { path: into, format: format(into) })) committed.add(path);
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      log.warn('a layer cannot be compared with what is under it, so it stays', {
        path,
        into,
        code: error.code,
        reason: error.message,
      });
    }
  }
  return committed;
}
