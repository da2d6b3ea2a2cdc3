/**
 * Looking at a VM when something may just have died: waits for libvirt, and mends what makes the look unusable.
 * Owns the patience for that; decides nothing about chains.
 */
import type { ObservedDisk, ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../../logging/log.js';
import type { CommandPorts } from '../ports.js';

/** How long a step waits for libvirtd to come back before the error goes to the runner (which repeats). */
const HYPERVISOR_PATIENCE_MS = 120_000;
const RETRY_MS = 500;
const RESUME_PATIENCE_MS = 10_000;

/** Calls again while the hypervisor is away or does not answer in time; everything else goes through. */
export async function withHypervisor<T>(
  ports: Pick<CommandPorts, 'clock'>,
  call: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const until = ports.clock.now() + HYPERVISOR_PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      const away = error.code === 'HYPERVISOR_UNAVAILABLE' || error.code === 'TIMED_OUT' || error.code === 'INTERRUPTED';
      if (!away || ports.clock.now() >= until || signal?.aborted) throw error;
      await ports.clock.sleep(RETRY_MS, signal);
    }
  }
}

/**
 * The domain as it is, once it can be seen. Out of step with QEMU (finding A): brought back in step first. Orphaned
 * (finding B): its definition is repaired and a paused guest resumed, then ORPHANED_QEMU is thrown, because no chain of
 * it can be changed until its owner restarts it.
 */
export async function observeSettled(ports: CommandPorts, vmUuid: string, log: Log): Promise<ObservedDomain | undefined> {
  const domain = await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
  const orphaned = domain?.problems.find((problem) => problem.code === 'ORPHANED_QEMU');
  if (orphaned) {
    await ports.hypervisor.tendOrphan(vmUuid);
    throw HoldfastError.fromData(orphaned);
  }
  if (domain?.problems.some((problem) => problem.code === 'HYPERVISOR_OUT_OF_STEP')) {
    log.error('libvirt and QEMU name different files: bringing QEMU back in step', { vm: vmUuid, problems: domain.problems });
    // The repair suspends the guest for its pivot: a death in the middle must not leave it so.
    if (domain.state === 'running') await ports.duties.owe(vmUuid, 'resume');
    try {
      await withHypervisor(ports, () => ports.hypervisor.bringQemuBackInStep(vmUuid));
    } finally {
      await ports.duties.fulfil(vmUuid, 'resume', RESUME_PATIENCE_MS);
    }
    return withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
  }
  return domain;
}

/** As observeSettled; a VM that is gone is NOT_FOUND. */
export async function observeExisting(ports: CommandPorts, vmUuid: string, log: Log): Promise<ObservedDomain> {
  const domain = await observeSettled(ports, vmUuid, log);
  if (domain === undefined) {
    throw new HoldfastError(
      'NOT_FOUND',
      `libvirt on ${ports.hostname} does not know the VM ${vmUuid}. It was undefined or moved to another host.`,
      {
        vmId: vmUuid,
      },
    );
  }
  return domain;
}

/** One disk by its target; PLAN_OUTDATED when the domain has none. */
export function diskOf(domain: ObservedDomain, target: string): ObservedDisk {
  const disk = domain.disks.find((candidate) => candidate.target === target);
  if (disk === undefined) {
    throw new HoldfastError('PLAN_OUTDATED', `VM ${domain.name} has no disk ${target} any more.`, { vmId: domain.uuid, target });
  }
  return disk;
}

/** Paths of a disk's chain, active layer first. */
export function chainPaths(disk: ObservedDisk): string[] {
  return disk.layers.map((layer) => layer.path);
}
