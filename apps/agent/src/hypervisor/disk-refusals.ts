/**
 * What a disk of a domain is refused for, and the layers that are not. Owns these errors: each names the VM, the disk and the way
 * out. Pure.
 */
import type { ImageFormat, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { DiskFacts, DomainFacts } from './domain-facts.js';
import { brokenByLibvirt } from './observe.js';
import type { QemuDisk } from './qemu-block.js';

export type Layers = readonly ObservedLayer[];
/** A layer as QEMU has it open. */
export type OpenLayer = Omit<ObservedLayer, 'inode'>;

/** True for a disk whose file can be asked about at all. */
export function isReadable(disk: DiskFacts): boolean {
  return disk.unsupported === undefined && !brokenByLibvirt(disk.path ?? '');
}

/** Where to begin to read the chain of a readable disk. */
export function sourceOf(disk: DiskFacts): { path: string; format: ImageFormat } {
  return { path: disk.path ?? '', format: disk.format as ImageFormat };
}

/** What QEMU has open, as layers. DISK_UNSUPPORTED for what is no plain qcow2 or raw file. */
export function openLayers(domain: DomainFacts, disk: DiskFacts, qemu: QemuDisk | undefined): OpenLayer[] {
  return (qemu?.layers ?? []).map(({ path, format, virtualSizeBytes, allocatedBytes }) => {
    const where = `Disk ${disk.target} of VM ${domain.name} (${disk.path})`;
    const fields = { vmId: domain.uuid, target: disk.target, path: path ?? '' };
    // libvirt may open a raw file without a layer of format "raw" over it.
    const kind = format === 'file' ? 'raw' : format;
    if (path === undefined)
      throw new HoldfastError(
        'DISK_UNSUPPORTED',
        `${where} has a layer that is no plain file. Move the whole chain to files.`,
        fields,
      );
    if (brokenByLibvirt(path)) throw lineBreak(domain, disk, path);
    if (kind !== 'qcow2' && kind !== 'raw')
      throw new HoldfastError(
        'DISK_UNSUPPORTED',
        `${where} has ${path} of format ${kind} in its chain. Convert it to qcow2.`,
        fields,
      );
    return { path, format: kind, virtualSizeBytes, allocatedBytes };
  });
}

/** What the disk is refused for, after its chain was looked for: `found` is that chain, or what stood in the way of finding it. */
export function refusalOf(domain: DomainFacts, disk: DiskFacts, found: Layers | Error): ErrorData | undefined {
  const fields = { vmId: domain.uuid, target: disk.target, path: disk.path ?? '' };
  if (disk.unsupported !== undefined) {
    const named = disk.path === undefined ? '' : ` (${disk.path})`;
    const message = `Disk ${disk.target}${named} of VM ${domain.name} ${disk.unsupported.what} and cannot be backed up. ${disk.unsupported.wayOut}`;
    return { code: 'DISK_UNSUPPORTED', message, fields };
  }
  if (brokenByLibvirt(disk.path ?? '')) return lineBreak(domain, disk, disk.path ?? '').toData();
  if (!(found instanceof Error)) {
    if (found.length > 0) return undefined;
    return {
      code: 'HYPERVISOR_OUT_OF_STEP',
      message: `Disk ${disk.target} (${disk.path}) of VM ${domain.name} is not attached in QEMU. Restart the VM.`,
      fields,
    };
  }
  const error = HoldfastError.from(found);
  const message =
    error.code === 'CHAIN_UNEXPLAINED' ? error.message : `Disk ${disk.target} of VM ${domain.name}: ${error.message}`;
  return { code: error.code, message, fields: { ...error.fields, ...fields } };
}

/** What a disk can be refused for. A look that somebody interrupted says nothing about the disk: it is looked at again. */
export function refusable(thrown: unknown): Error {
  const error = HoldfastError.from(thrown);
  if (error.code === 'INTERRUPTED') throw error;
  return error;
}

function lineBreak(domain: DomainFacts, disk: DiskFacts, path: string): HoldfastError {
  return new HoldfastError(
    'DISK_UNSUPPORTED',
    `Disk ${disk.target} of VM ${domain.name} has a line break or tab in its file name ${JSON.stringify(path)}, which libvirt loses. Rename the file.`,
    { vmId: domain.uuid, target: disk.target, path },
  );
}

/** CHAIN_UNEXPLAINED: the chain by the headers is another one than QEMU has open. */
export function unexplained(domain: DomainFacts, disk: DiskFacts, layers: Layers, open: readonly OpenLayer[]): HoldfastError {
  return new HoldfastError(
    'CHAIN_UNEXPLAINED',
    `Disk ${disk.target} of VM ${domain.name}: QEMU has ${open.map((layer) => layer.path).join(' → ')} open, but the image headers say ` +
      `${layers.map((layer) => layer.path).join(' → ')}. Keep the VM running and write the missing backing names (qemu-img rebase -u) or ask for help before it is shut down.`,
    { vmId: domain.uuid, target: disk.target, path: open[0]?.path ?? '' },
  );
}

/** PATH_OUTSIDE_POOLS for a layer of a disk. */
export function outside(domain: DomainFacts, disk: DiskFacts, layer: string): HoldfastError {
  return new HoldfastError(
    'PATH_OUTSIDE_POOLS',
    `${layer}, a layer of disk ${disk.target}, is outside the agent's primary pools. Add its folder to the agent's pools or move the file.`,
    { vmId: domain.uuid, target: disk.target, path: disk.path ?? '', layer },
  );
}
