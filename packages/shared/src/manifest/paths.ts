/** Where things are on secondary storage, relative to its root. Owns the layout; every name on storage is made here. */

import type { Manifest } from './manifest.js';

export const BACKUPS_FOLDER = 'backups';
export const SCREENSHOT_FILE = 'screenshot.png';
export const IDENTITY_FILE = 'holdfast.json';
export const MANIFEST_FILE = 'manifest.json';
export const DOMAIN_XML_FILE = 'domain.xml';
export const NVRAM_FILE = 'nvram.fd';
export const PARTIAL_SUFFIX = '.partial';

/** `backups/<vm uuid>`: all backups of a VM. */
export function vmFolder(vmId: string): string {
  return `${BACKUPS_FOLDER}/${vmId}`;
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

/** Every file that belongs into the folder of a backup with this manifest; that of a screenshot may be missing. */
export function manifestFiles(manifest: Manifest): string[] {
  const nvram = manifest.nvramFile === undefined ? [] : [manifest.nvramFile];
  return [MANIFEST_FILE, manifest.domainXmlFile, ...nvram, SCREENSHOT_FILE, ...manifest.volumes.map((volume) => volume.file)];
}
