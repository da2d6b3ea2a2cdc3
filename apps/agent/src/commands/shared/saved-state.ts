/**
 * A stopped VM that libvirt has saved with its memory (virsh managedsave) starts from that saved state, with the disks that are
 * written down in it. Owns the refusal to change the disks under it, and what is no such change; looks, and changes nothing.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import { chainPaths, diskOf, withHypervisor } from './observe-settled.js';

/** WRONG_STATE when the VM is stopped and has a saved state. */
export async function demandNoSavedState(
  ports: Pick<CommandPorts, 'clock' | 'hypervisor'>,
  domain: Pick<ObservedDomain, 'uuid' | 'name' | 'state'>,
): Promise<void> {
  if (!(await isSaved(ports, domain))) return;
  throw new HoldfastError(
    'WRONG_STATE',
    `VM ${domain.name} was saved with its memory, and its next start would use the disks as they are named there. Start it and shut it down, or drop the saved state (virsh managedsave-remove), then try again.`,
    { vmId: domain.uuid },
  );
}

/**
 * As `demandNoSavedState`, but for an active layer that was put on after the memory was saved, and that nobody has written to: the
 * saved VM goes on with what is under it, and cannot be started before the definition does, too.
 */
export async function demandSavedBelow(
  ports: Pick<CommandPorts, 'clock' | 'hypervisor' | 'images'>,
  domain: ObservedDomain,
  { target, path }: { readonly target: string; readonly path: string },
): Promise<void> {
  if (!(await isSaved(ports, domain))) return;
  const source = (await withHypervisor(ports, () => ports.hypervisor.savedSources(domain.uuid))).get(target);
  const [active, ...below] = chainPaths(diskOf(domain, target));
  const putOnSince = path === active && source !== undefined && below.includes(source);
  if (!putOnSince || !(await ports.images.isUntouched(path))) await demandNoSavedState(ports, domain);
}

/** After new layers were put on: WRONG_STATE when the VM was saved with its memory before that, and so starts without them. */
export async function demandSavedWith(
  ports: Pick<CommandPorts, 'clock' | 'hypervisor'>,
  domain: Pick<ObservedDomain, 'uuid' | 'name' | 'state'>,
  disks: readonly { readonly target: string; readonly newPath: string }[],
): Promise<void> {
  if (!(await isSaved(ports, domain))) return;
  const sources = await withHypervisor(ports, () => ports.hypervisor.savedSources(domain.uuid));
  if (disks.every(({ target, newPath }) => sources.get(target) === newPath)) return;
  throw new HoldfastError(
    'WRONG_STATE',
    `VM ${domain.name} was saved with its memory right before new layers were put on its disks. They are taken off again; try again when it runs.`,
    { vmId: domain.uuid },
  );
}

async function isSaved(
  ports: Pick<CommandPorts, 'clock' | 'hypervisor'>,
  { state, uuid }: Pick<ObservedDomain, 'uuid' | 'state'>,
): Promise<boolean> {
  return state === 'shut-off' && (await withHypervisor(ports, () => ports.hypervisor.hasSavedState(uuid)));
}
