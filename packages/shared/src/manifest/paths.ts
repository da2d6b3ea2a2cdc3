/** Where things are on secondary storage, relative to its root. Owns the layout; every name on storage is made here. */

export const IDENTITY_FILE = 'holdfast.json';
export const MANIFEST_FILE = 'manifest.json';
export const DOMAIN_XML_FILE = 'domain.xml';
export const NVRAM_FILE = 'nvram.fd';
export const PARTIAL_SUFFIX = '.partial';

/** `backups/<vm uuid>`: all backups of a VM. */
export function vmFolder(vmId: string): string {
  return `backups/${vmId}`;
}

/** `backups/<vm uuid>/<backup id>`. */
export function backupFolder(vmId: string, backupId: string): string {
  return `${vmFolder(vmId)}/${backupId}`;
}

/** `<volume key>.qcow2`. */
export function volumeFile(key: string): string {
  return `${key}.qcow2`;
}

/** Backing name of an incremental file: relative, so that a chain reads the same wherever the storage is mounted. */
export function parentVolumeFile(parentBackupId: string, key: string): string {
  return `../${parentBackupId}/${volumeFile(key)}`;
}
