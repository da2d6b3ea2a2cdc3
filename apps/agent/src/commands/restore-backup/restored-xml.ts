/** The definition that a restore switches to. Pure: XML in, XML out. */
import { appendDisk, diskElementXml, replaceDiskSources, setDomainName, stripBackingStore } from '../../hypervisor/domain-xml.js';
import type { RestoreBackupRequest } from '../requests.js';
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
