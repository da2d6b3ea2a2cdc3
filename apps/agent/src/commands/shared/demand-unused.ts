/**
 * The proof that a file may be deleted, as far as it can be seen from VMs and snapshots. Owns the question "who needs this
 * file"; deletes nothing, and asks no locks.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import type { PinnedLayer } from '../requests.js';
import { layersNeeded } from '../merge/observe-tree.js';
import { demandNoSavedState } from './saved-state.js';
import { withHypervisor } from './observe-settled.js';

/**
 * FILE_IN_USE when the VM has the file in a chain or a definition, when a snapshot of it (`pins`: ours; libvirt's own are
 * looked at always) leads to it, or when another VM refers to it. WRONG_STATE when the VM has a saved state, which may name
 * any file of before. `domain` undefined: libvirt does not know the VM.
 */
export async function demandUnused(
  ports: CommandPorts,
  vmUuid: string,
  domain: ObservedDomain | undefined,
  path: string,
  pins: readonly PinnedLayer[],
): Promise<void> {
  const inUse = (by: string): HoldfastError =>
    new HoldfastError('FILE_IN_USE', `${path} is ${by}, so it is not deleted.`, { path, vmId: vmUuid });
  if (domain?.disks.some((disk) => disk.definedPath === path)) throw inUse(`in the definition of VM ${domain.name}`);
  if (domain !== undefined) await demandNoSavedState(ports, domain);
  const needed = await layersNeeded(ports, domain ?? { disks: [], snapshots: [] }, pins);
  const places = await ports.images.places([path, ...needed]);
  const place = places.get(path);
  // Without a place the file is gone by now: then its name alone counts.
  const same = (layer: string): boolean => layer === path || (place && places.get(layer)?.identity === place.identity) === true;
  if ([...needed].some(same)) throw inUse('needed by a disk of the VM or by one of its snapshots');
  const others = await withHypervisor(ports, () => ports.hypervisor.pathsInUseByOthers(vmUuid));
  if (others.has(path) || (place && others.has(place.realPath))) throw inUse('used by another VM');
}
