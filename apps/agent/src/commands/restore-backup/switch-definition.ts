/**
 * The one moment of a restore that changes the VM: one define switches all volumes. Owns the new definition and the look
 * before and after; nothing that the old definition refers to is touched.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { appendDisk, diskElementXml, replaceDiskSources, setDomainName, stripBackingStore } from '../../hypervisor/domain-xml.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { RestoreBackupRequest } from '../requests.js';
import { withHypervisor } from '../shared/observe-settled.js';
import type { ReadBackup } from '../shared/read-backup.js';

/** The definition with every restored volume in place. `current` undefined: the domain is gone, the backup's own is taken. */
export function restoredXml(request: RestoreBackupRequest, backup: ReadBackup, current: string | undefined): string {
  const attached = request.volumes.map((volume) => ({ target: volume.target, path: volume.newPath, format: 'qcow2' as const }));
  if (current === undefined) {
    const named = setDomainName(backup.domainXml, request.defineMissingAs ?? backup.manifest.vm.name);
    return stripBackingStore(replaceDiskSources(named, attached));
  }
  let xml = current;
  for (const volume of request.volumes) {
    const wish = { target: volume.target, path: volume.newPath, format: 'qcow2' as const };
    if (volume.currentPath !== undefined) {
      xml = replaceDiskSources(xml, [wish]);
      continue;
    }
    const device = backup.manifest.volumes.find((candidate) => candidate.key === volume.key)?.device ?? volume.target;
    xml = appendDisk(xml, diskElementXml(backup.domainXml, device), wish);
  }
  return stripBackingStore(xml);
}

/**
 * Defines `newXml` if the VM is stopped and still as before, and looks at what came of it. A VM that was started in
 * between keeps its old definition (VM_RUNNING); one that was started right after the define runs on the restored disks.
 */
export async function switchDefinition(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
  xml: { readonly oldXml: string | undefined; readonly newXml: string },
): Promise<void> {
  const { vmUuid, vmName } = request.header;
  const wanted = new Map(request.volumes.map((volume) => [volume.target, volume.newPath]));
  const isSwitched = async (): Promise<boolean> => {
    const now = await withHypervisor(ports, () => ports.hypervisor.definedSources(vmUuid)).catch(absentIsEmpty);
    return [...wanted].every(([target, path]) => now.get(target) === path);
  };
  if (!(await isSwitched())) {
    const before = await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
    if (before !== undefined && before.state !== 'shut-off') {
      throw new HoldfastError(
        'VM_RUNNING',
        `VM ${vmName} was started while its restore was being prepared. It is unchanged; stop it and restore again.`,
        { vmId: vmUuid },
      );
    }
    await withHypervisor(ports, () => ports.hypervisor.define(xml.newXml));
    if (!(await isSwitched())) {
      throw new HoldfastError('TOOL_FAILED', `libvirt took the new definition of VM ${vmName}, but does not show it.`, {
        vmId: vmUuid,
      });
    }
  }
  const after = await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
  if (after === undefined || after.state === 'shut-off') return;
  const onNew = [...wanted].every(([target, path]) =>
    after.disks.find((disk) => disk.target === target)?.layers.some((layer) => layer.path === path),
  );
  if (onNew) {
    context.warn('The VM was started the moment its definition was switched; it runs on the restored disks.');
    return;
  }
  if (xml.oldXml !== undefined) await withHypervisor(ports, () => ports.hypervisor.define(xml.oldXml ?? ''));
  throw new HoldfastError(
    'VM_RUNNING',
    `VM ${vmName} was started while its definition was being switched. It keeps its old disks; stop it and restore again.`,
    {
      vmId: vmUuid,
    },
  );
}

/** A domain that is not there has no sources; every other failure stays one. */
export function absentIsEmpty(thrown: unknown): ReadonlyMap<string, string> {
  if (HoldfastError.from(thrown).code === 'NOT_FOUND') return new Map();
  throw thrown;
}
