/**
 * Deleting a layer of ours that is out of every chain. Owns the proof before the deletion: no chain and no definition of a
 * domain of this host names the file, no saved state of the VM could, no snapshot (ours or libvirt's own) and no other layer
 * of ours leads to it, and no process holds its lock. After a restart of the host nothing of it is a proof, and what is still
 * there stays (decision 0030).
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { PinnedLayer } from '../requests.js';
import { demandUnused } from '../shared/demand-unused.js';
import { chainPaths, observeExisting } from '../shared/observe-settled.js';
import { demandNothingOn } from './layers-by-name.js';
import { repointDefinition } from './repoint-definition.js';

/**
 * `pins`: of the VM's snapshots, as they are now; `givenUp`: layers that go, too, and may lie on it. FILE_IN_USE, WRONG_STATE,
 * IMAGE_LOCKED, PLAN_OUTDATED; a file that is gone already is fine.
 */
export async function discardDelta(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  path: string,
  pins: readonly PinnedLayer[],
  givenUp: readonly string[] = [],
): Promise<null> {
  if ((await ports.files.stat(path)) === undefined) return null;
  if (context.rebooted) throw ofAnotherBoot(vmUuid, path);
  const domain = await repointDefinition(ports, context, await observeExisting(ports, vmUuid, context.log), path);
  await demandUnused(ports, vmUuid, domain, path, pins);
  const known = [...domain.disks.flatMap(chainPaths), ...pins.map((pin) => pin.path), ...givenUp];
  await demandNothingOn(ports, path, known);
  if (await isHeld(ports, vmUuid, path, domain.state !== 'shut-off')) {
    throw new HoldfastError('IMAGE_LOCKED', `${path} is locked by a running process, so it is not deleted.`, {
      path,
      vmId: vmUuid,
    });
  }
  await ports.files.remove(path);
  return null;
}

/**
 * What was begun is finished where it is seen to be done; nothing new is done by a plan of before the restart. Stopped on another
 * host, the VM may have its newest data in a layer that this host's definition knows nothing of, and no lock tells.
 */
export function ofAnotherBoot(vmUuid: string, path: string): HoldfastError {
  return new HoldfastError(
    'PLAN_OUTDATED',
    `The host was restarted since it was planned that ${path} goes, and the VM may have been started on another host. It is planned anew where the VM is.`,
    { vmId: vmUuid, path },
  );
}

/** True when it stays locked although the VM's own QEMU has been told to let go of what it does not use. */
async function isHeld(ports: CommandPorts, vmUuid: string, path: string, running: boolean): Promise<boolean> {
  if (!(await ports.images.isLocked(path, 'qcow2'))) return false;
  if (!running) return true;
  await ports.hypervisor.releaseUnusedLayers(vmUuid, [path]);
  return ports.images.isLocked(path, 'qcow2');
}
