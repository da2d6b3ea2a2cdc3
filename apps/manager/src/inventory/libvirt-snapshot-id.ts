/** The id under which a snapshot that libvirt keeps record of is known: libvirt gives it none. Pure. */
import { createHash } from 'node:crypto';

/** A UUID of version 5 in shape, made of the VM's id and the snapshot's name: the same at every look, another for another VM. */
export function libvirtSnapshotId(vmId: string, name: string): string {
  const bytes = createHash('sha256').update(`libvirt-snapshot\0${vmId}\0${name}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
