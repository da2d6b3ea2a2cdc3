/**
 * Reads a domain's definition into plain facts. Pure: XML in, data out. Must not judge chains; that a disk is of a kind that
 * Holdfast cannot carry is said here, because it is written in the definition.
 */
import { attribute, child, children, parseRoot, textOf, type Element } from './xml-tree.js';

/** A file, or another thing, as a source, a backing or a mirror names it. */
export interface SourceFacts {
  /** Undefined when it is not a file or names none. */
  readonly path: string | undefined;
  readonly format: string | undefined;
}

export interface DiskFacts {
  readonly target: string;
  readonly bus: string;
  readonly serial: string;
  /** `file`, `block`, `network`, … */
  readonly type: string;
  /** As the driver says; libvirt reads a missing one as raw. */
  readonly format: string;
  readonly path: string | undefined;
  /** Backing files that the definition lists itself, nearest first. libvirt obeys them at a start, whatever the headers say. */
  readonly listedBacking: readonly SourceFacts[];
  /** The list ends with an explicit "no more". */
  readonly backingIsWhole: boolean;
  readonly mirrorPath: string | undefined;
  /** QEMU's name of the device; a live definition has it always, a persistent one seldom. */
  readonly alias: string | undefined;
  /** controller, bus, target, unit of a drive address. */
  readonly drive: readonly [string, string, string, string] | undefined;
  /** Why the kind of disk cannot be backed up, and the way out; undefined when it can. */
  readonly unsupported: { readonly what: string; readonly wayOut: string } | undefined;
}

export interface DomainFacts {
  readonly uuid: string;
  readonly name: string;
  /** libvirt's number of the running domain; undefined in a persistent definition and when shut off. */
  readonly id: string | undefined;
  readonly vcpus: number;
  readonly memoryBytes: bigint;
  readonly nvramPath: string | undefined;
  /** It has a TPM whose state libvirt keeps in files of its own (swtpm), beside disks and NVRAM. */
  readonly emulatedTpm: boolean;
  readonly guestAgentConnected: boolean;
  /** Hard disks, in order. CD-ROM and floppy drives are left out. */
  readonly disks: readonly DiskFacts[];
  /** Targets of all drives, CD-ROM and floppy drives too. */
  readonly targets: readonly string[];
  /** Every file that the definition names anywhere: disks of all kinds, their backing and mirrors, firmware, kernel. */
  readonly files: readonly string[];
}

const AGENT_PORT = 'org.qemu.guest_agent.0';

/** The facts of one definition. INVALID_INPUT when it is no domain XML. */
export function readDomain(xml: string): DomainFacts {
  const { root } = parseRoot(xml, 'domain');
  const devices = child(root, 'devices');
  const drives = children(devices, 'disk');
  const os = child(root, 'os');
  const nvram = child(os, 'nvram');
  const vcpu = child(root, 'vcpu');
  const agent = children(devices, 'channel')
    .map((channel) => child(channel, 'target'))
    .find((target) => attribute(target, 'name') === AGENT_PORT);
  return {
    uuid: textOf(root, 'uuid') ?? '',
    name: textOf(root, 'name') ?? '',
    id: attribute(root, 'id'),
    vcpus: Number(attribute(vcpu, 'current') ?? vcpu?.textContent ?? '1'),
    memoryBytes: memoryBytes(child(root, 'memory')),
    nvramPath: nvram === undefined ? undefined : (attribute(child(nvram, 'source'), 'file') ?? ownText(nvram)),
    emulatedTpm: children(devices, 'tpm').some((tpm) => attribute(child(tpm, 'backend'), 'type') === 'emulator'),
    guestAgentConnected: attribute(agent, 'state') === 'connected',
    disks: drives.filter((disk) => !isRemovable(disk)).map(readDisk),
    targets: drives.map((disk) => attribute(child(disk, 'target'), 'dev') ?? ''),
    files: [...filesOf(drives), ...[nvram, child(os, 'loader'), child(os, 'kernel'), child(os, 'initrd')].flatMap(pathText)],
  };
}

function isRemovable(disk: Element): boolean {
  const device = attribute(disk, 'device') ?? 'disk';
  return device === 'cdrom' || device === 'floppy';
}

function readDisk(disk: Element): DiskFacts {
  const target = child(disk, 'target');
  const address = child(disk, 'address');
  const backing: SourceFacts[] = [];
  let store = child(disk, 'backingStore');
  let whole = false;
  while (store !== undefined) {
    const source = child(store, 'source');
    if (source === undefined) {
      whole = true;
      break;
    }
    backing.push({ path: attribute(source, 'file'), format: attribute(child(store, 'format'), 'type') });
    store = child(store, 'backingStore');
  }
  const part = (name: string) => attribute(address, name) ?? '0';
  return {
    target: attribute(target, 'dev') ?? '',
    bus: attribute(target, 'bus') ?? '',
    serial: textOf(disk, 'serial') ?? '',
    type: attribute(disk, 'type') ?? 'file',
    format: attribute(child(disk, 'driver'), 'type') ?? 'raw',
    path: attribute(child(disk, 'source'), 'file'),
    listedBacking: backing,
    backingIsWhole: whole,
    mirrorPath: attribute(child(child(disk, 'mirror'), 'source'), 'file') ?? attribute(child(disk, 'mirror'), 'file'),
    alias: attribute(child(disk, 'alias'), 'name'),
    drive: attribute(address, 'type') === 'drive' ? [part('controller'), part('bus'), part('target'), part('unit')] : undefined,
    unsupported: unsupported(disk),
  };
}

function unsupported(disk: Element): DiskFacts['unsupported'] {
  const type = attribute(disk, 'type') ?? 'file';
  const source = child(disk, 'source');
  const format = attribute(child(disk, 'driver'), 'type') ?? 'raw';
  if (type === 'network')
    return {
      what: `is a network disk (${attribute(source, 'protocol') ?? 'unknown protocol'})`,
      wayOut: 'Move it to a qcow2 or raw file.',
    };
  if (type === 'block') return { what: 'is a block device', wayOut: 'Move it to a qcow2 or raw file.' };
  if (type === 'volume')
    return { what: 'is given as a volume of a storage pool', wayOut: 'Name its file in the definition instead (type="file").' };
  if (type !== 'file') return { what: `is of type ${type}`, wayOut: 'Move it to a qcow2 or raw file.' };
  if (attribute(disk, 'device') === 'lun')
    return { what: 'is passed through as a LUN', wayOut: 'Move it to a qcow2 or raw file.' };
  if (attribute(source, 'file') === undefined) return { what: 'has no file', wayOut: 'Give it a source file or detach it.' };
  if (format !== 'qcow2' && format !== 'raw')
    return { what: `has format ${format}`, wayOut: 'Convert it to qcow2 with qemu-img convert.' };
  if (child(disk, 'shareable') !== undefined)
    return { what: 'is shared with other VMs', wayOut: 'Remove <shareable/>, or leave it out by detaching it.' };
  if (child(disk, 'transient') !== undefined)
    return { what: 'is transient: its content is thrown away at power-off', wayOut: 'Remove <transient/>, or detach it.' };
  if (child(disk, 'readonly') !== undefined) return { what: 'is read-only', wayOut: 'Remove <readonly/>, or detach it.' };
  if (child(disk, 'encryption') !== undefined || child(source, 'encryption') !== undefined) {
    return { what: 'is encrypted by QEMU', wayOut: 'Encrypt inside the guest or below the file system instead.' };
  }
  if (child(source, 'slices') !== undefined) return { what: 'uses a slice of its file', wayOut: 'Give it a file of its own.' };
  return undefined;
}

function memoryBytes(memory: Element | undefined): bigint {
  const factors: Record<string, bigint> = {
    b: 1n,
    bytes: 1n,
    k: 1n << 10n,
    KiB: 1n << 10n,
    KB: 1000n,
    M: 1n << 20n,
    MiB: 1n << 20n,
    MB: 1_000_000n,
    G: 1n << 30n,
    GiB: 1n << 30n,
    GB: 1_000_000_000n,
    T: 1n << 40n,
    TiB: 1n << 40n,
    TB: 1_000_000_000_000n,
  };
  return BigInt(memory?.textContent?.trim() || '0') * (factors[attribute(memory, 'unit') ?? 'KiB'] ?? 1024n);
}

function filesOf(elements: readonly Element[]): string[] {
  return elements.flatMap((element) => {
    const here = ['source', 'mirror', 'dataStore'].flatMap((name) => children(element, name));
    const named = here
      .flatMap((source) => [attribute(source, 'file'), attribute(source, 'dev')])
      .filter((path) => path !== undefined);
    return [...named, ...filesOf([...here, ...children(element, 'backingStore')])];
  });
}

function pathText(element: Element | undefined): string[] {
  const path = element === undefined ? undefined : (attribute(child(element, 'source'), 'file') ?? ownText(element));
  return path !== undefined && path.startsWith('/') ? [path] : [];
}

function ownText(element: Element): string | undefined {
  const text = element.textContent ?? '';
  return text.startsWith('/') ? text : undefined;
}
