/**
 * Changes to a domain's definition that Holdfast makes: which files disks use, and disks that come back. Pure: XML in, XML
 * out; what is not named stays as it was. Must not start, define or look at anything.
 */
import type { ImageFormat } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { attribute, child, children, ensureChild, parseRoot, print, removeChildren, type Element } from './xml-tree.js';

const PLAIN_DISK = "<disk type='file' device='disk'><driver name='qemu'/><source/><target bus='virtio'/></disk>";

export interface DiskSource {
  readonly target: string;
  /** Absolute. */
  readonly path: string;
  readonly format: ImageFormat;
}

/**
 * Points disks at other files. What the definition listed of the old chain goes with it (listed backing files, a mirror):
 * from now on the image headers say what is under a disk. PLAN_OUTDATED when a target is not in the definition.
 */
export function replaceDiskSources(xml: string, sources: readonly DiskSource[]): string {
  const { document, root } = parseRoot(xml, 'domain');
  for (const source of sources) point(diskAt(root, source.target), source);
  return print(document);
}

/**
 * Removes every `<backingStore>` of file disks (of the named targets, or of all). libvirt obeys such a list at a start even
 * when the image headers say otherwise, so it must go whenever a chain was changed.
 */
export function stripBackingStore(xml: string, targets?: readonly string[]): string {
  const { document, root } = parseRoot(xml, 'domain');
  for (const disk of children(child(root, 'devices'), 'disk')) {
    const target = attribute(child(disk, 'target'), 'dev') ?? '';
    if (attribute(disk, 'type') !== 'file' || (targets !== undefined && !targets.includes(target))) continue;
    removeChildren(disk, 'backingStore');
  }
  return print(document);
}

/** Targets of file disks whose definition writes a chain down (an empty `<backingStore/>` is none). */
export function targetsWithBackingStore(xml: string): string[] {
  const { root } = parseRoot(xml, 'domain');
  return children(child(root, 'devices'), 'disk')
    .filter((disk) => attribute(disk, 'type') === 'file' && child(child(disk, 'backingStore'), 'source') !== undefined)
    .map((disk) => attribute(child(disk, 'target'), 'dev') ?? '');
}

/** The `<disk>` element of a target as text, for example out of the definition that a backup keeps; undefined without one. */
export function diskElementXml(xml: string, target: string): string | undefined {
  const { root } = parseRoot(xml, 'domain');
  return children(child(root, 'devices'), 'disk')
    .find((disk) => attribute(child(disk, 'target'), 'dev') === target)
    ?.toString();
}

/**
 * Adds a disk at a target that must be free (PLAN_OUTDATED otherwise; `freeTarget` finds one). `elementXml`: a `<disk>` element
 * to start from; its driver options, bus and serial are kept, its places (address, alias, boot order) and its chain are not.
 * Without one it is a plain virtio disk.
 */
export function appendDisk(xml: string, elementXml: string | undefined, source: DiskSource): string {
  const { document, root } = parseRoot(xml, 'domain');
  const devices = child(root, 'devices');
  if (devices === undefined) throw new HoldfastError('INVALID_INPUT', 'The definition has no <devices>.', {});
  const disks = children(devices, 'disk');
  if (disks.some((disk) => attribute(child(disk, 'target'), 'dev') === source.target)) {
    throw new HoldfastError('PLAN_OUTDATED', `The target ${source.target} is taken by another drive by now. Plan again.`, {
      target: source.target,
    });
  }
  const disk = document.importNode(parseRoot(elementXml ?? PLAIN_DISK, 'disk').root, true);
  removeChildren(disk, 'address', 'alias', 'boot');
  ensureChild(disk, 'target').setAttribute('dev', source.target);
  point(disk, source);
  devices.insertBefore(disk, disks.at(-1)?.nextSibling ?? devices.firstChild);
  return print(document);
}

/** `wanted` when no drive of the definition has it, else the first free name of its kind (vda … vdz, vdaa …). */
export function freeTarget(xml: string, wanted: string): string {
  const { root } = parseRoot(xml, 'domain');
  const taken = new Set(children(child(root, 'devices'), 'disk').map((disk) => attribute(child(disk, 'target'), 'dev')));
  if (!taken.has(wanted)) return wanted;
  const prefix = /^(fd|hd|vd|sd|xvd|ubd)/.exec(wanted)?.[1] ?? 'vd';
  for (let index = 0; ; index += 1) {
    const name = `${prefix}${letters(index)}`;
    if (!taken.has(name)) return name;
  }
}

/** The same definition under another name. */
export function setDomainName(xml: string, name: string): string {
  const { document, root } = parseRoot(xml, 'domain');
  ensureChild(root, 'name').textContent = name;
  return print(document);
}

/** The file of every file-based disk, by target. */
export function diskSources(xml: string): Map<string, string> {
  const { root } = parseRoot(xml, 'domain');
  const sources = new Map<string, string>();
  for (const disk of children(child(root, 'devices'), 'disk')) {
    const path = attribute(child(disk, 'source'), 'file');
    const target = attribute(child(disk, 'target'), 'dev');
    if (path !== undefined && target !== undefined) sources.set(target, path);
  }
  return sources;
}

/**
 * The description of one snapshot of exactly these disks; every other drive of the domain is told to stay out of it.
 * `allTargets`: all drives of the definition that the snapshot acts on.
 */
export function snapshotXml(disks: readonly { target: string; newPath: string }[], allTargets: readonly string[]): string {
  const { document, root } = parseRoot('<domainsnapshot><disks/></domainsnapshot>', 'domainsnapshot');
  const list = child(root, 'disks') as Element;
  const wanted = new Map(disks.map((disk) => [disk.target, disk.newPath]));
  for (const target of new Set([...allTargets, ...wanted.keys()])) {
    const path = wanted.get(target);
    const disk = document.createElement('disk');
    disk.setAttribute('name', target);
    disk.setAttribute('snapshot', path === undefined ? 'no' : 'external');
    if (path !== undefined) {
      disk.setAttribute('type', 'file');
      const driver = document.createElement('driver');
      driver.setAttribute('type', 'qcow2');
      const source = document.createElement('source');
      source.setAttribute('file', path);
      disk.appendChild(driver);
      disk.appendChild(source);
    }
    list.appendChild(disk);
  }
  return print(document);
}

function diskAt(root: Element, target: string): Element {
  const found = children(child(root, 'devices'), 'disk').find((disk) => attribute(child(disk, 'target'), 'dev') === target);
  if (found === undefined)
    throw new HoldfastError('PLAN_OUTDATED', `The definition has no disk ${target} any more. Plan again.`, { target });
  return found;
}

function point(disk: Element, source: DiskSource): void {
  disk.setAttribute('type', 'file');
  removeChildren(disk, 'backingStore', 'mirror');
  const old = child(disk, 'source');
  if (old !== undefined) disk.removeChild(old);
  ensureChild(disk, 'source').setAttribute('file', source.path);
  const driver = ensureChild(disk, 'driver');
  driver.setAttribute('type', source.format);
  if (attribute(driver, 'name') === undefined) driver.setAttribute('name', 'qemu');
}

function letters(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : letters(Math.floor(index / 26) - 1) + last;
}
