/**
 * Can libvirt put new layers on a VM that is off? It has qemu-img make them, and doubles each comma in their path, which is another
 * path. Owns that one refusal, before anything is touched. Of a running VM QEMU makes them, under any name.
 */
import { dirname } from 'node:path';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

/** DISK_UNSUPPORTED. */
export function demandOfflineNames(
  domain: Pick<ObservedDomain, 'uuid' | 'name' | 'state'>,
  disks: readonly { readonly target: string; readonly newPath: string }[],
): void {
  if (domain.state !== 'shut-off') return;
  const found = disks.find(({ newPath }) => newPath.includes(','));
  if (found === undefined) return;
  const folder = dirname(found.newPath);
  throw new HoldfastError(
    'DISK_UNSUPPORTED',
    `Disk ${found.target} of VM ${domain.name} lies in ${folder}, and libvirt cannot take a snapshot in a folder with a comma in its path while the VM is off. Start the VM, then try again, or move the disk.`,
    { vmId: domain.uuid, target: found.target, path: folder },
  );
}
