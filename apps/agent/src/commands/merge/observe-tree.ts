/**
 * The layers of one volume as they hang together now: its active chain as observed, and beside it everything that a
 * snapshot or a layer of ours leads to, by the image headers, named by a record or not. Owns the walk; decides nothing and
 * changes nothing.
 *
 * Two names of one file are one layer (device and inode decide), under the name that the active chain has for it: taken for
 * two, one of them would look as if nothing else lay on it.
 */
import type { ImageFormat, ObservedDisk, ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { chainOf, type LayerTree } from '@holdfast/shared/chain/layer-tree.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import type { MergeVolume, PinnedLayer } from '../requests.js';
import { diskOf } from '../shared/observe-settled.js';
import { isNoLayer, layersByName } from './layers-by-name.js';

export interface VolumeTree {
  readonly tree: LayerTree;
  /** Of every layer. */
  readonly formats: ReadonlyMap<string, ImageFormat>;
  /** Those of the volume's deltaPaths that are there, under the names that the tree has for them. */
  readonly removable: ReadonlySet<string>;
  /** The template and what is under it. */
  readonly template: ReadonlySet<string>;
  /** Every layer with the file's name without symbolic links. */
  readonly realPaths: ReadonlyMap<string, string>;
}

type Layer = { parent: string | undefined; format: ImageFormat };

/**
 * Looks at one volume. CHAIN_UNEXPLAINED when a layer that holds one of our snapshots is gone: its content may be in another
 * layer by now, so nothing of the volume may be changed. A disk that cannot be read is its refusal.
 */
export async function observeTree(ports: CommandPorts, domain: ObservedDomain, volume: MergeVolume): Promise<VolumeTree> {
  const disk = diskOf(domain, volume.target);
  const [top] = disk.layers;
  if (disk.refusal !== undefined) throw HoldfastError.fromData(disk.refusal);
  if (top === undefined)
    throw new HoldfastError('BUG', `Disk ${volume.target} was observed without layers and without a refusal.`);
  const layers = new Map<string, Layer>();
  addChain(layers, disk);
  for (const pin of volume.pins) {
    if (await walk(ports, layers, pin.path, 'qcow2')) continue;
    throw snapshotLost(domain, volume.target, pin);
  }
  const foreign: string[] = [];
  for (const { pinnedPath, pinnedFormat } of domain.snapshots.flatMap((snapshot) => snapshot.disks.filter(isOf(volume.target)))) {
    // A record of libvirt may be older than its file.
    if (await walk(ports, layers, pinnedPath, pinnedFormat)) foreign.push(pinnedPath);
  }
  const removable: string[] = [];
  for (const path of volume.deltaPaths) if (await walk(ports, layers, path, 'qcow2')) removable.push(path);
  for (const path of await layersByName(ports, new Set([...layers.keys(), ...(volume.givenUp ?? [])]))) {
    for (const [branch, layer] of await branchOn(ports, layers, path)) layers.set(branch, layer);
  }

  const places = await ports.images.places([...layers.keys()]);
  const first = new Map<string, string>();
  for (const path of layers.keys()) {
    const identity = places.get(path)?.identity ?? path;
    if (!first.has(identity)) first.set(identity, path);
  }
  const one = (path: string): string => first.get(places.get(path)?.identity ?? path) ?? path;
  const known = [...layers].filter(([path]) => one(path) === path);
  const pins = new Map<string, string[]>();
  for (const pin of volume.pins) pins.set(one(pin.path), [...(pins.get(one(pin.path)) ?? []), pin.snapshotId]);
  const tree: LayerTree = {
    parents: new Map(known.map(([path, { parent }]) => [path, parent === undefined ? undefined : one(parent)])),
    active: top.path,
    pins,
    foreignPins: new Set(foreign.map(one)),
  };
  const template = volume.templatePath === undefined ? undefined : one(volume.templatePath);
  return {
    tree,
    formats: new Map(known.map(([path, { format }]) => [path, format])),
    removable: new Set(removable.map(one)),
    template: new Set(template !== undefined && tree.parents.has(template) ? chainOf(tree, template) : []),
    realPaths: new Map(known.map(([path]) => [path, places.get(path)?.realPath ?? path])),
  };
}

/** A layer that holds one of our snapshots is gone. */
export function snapshotLost(domain: ObservedDomain, target: string, pin: PinnedLayer): HoldfastError {
  return new HoldfastError(
    'CHAIN_UNEXPLAINED',
    `${pin.path}, which holds a VM snapshot of disk ${target} of VM ${domain.name}, is gone, so nothing of this disk is merged. ` +
      'Bring the file back, or delete the snapshot.',
    { vmId: domain.uuid, target, path: pin.path, snapshotId: pin.snapshotId },
  );
}

/**
 * Every layer that the VM needs: those of its disks, and what its snapshots lead to, ours (as given) or libvirt's own, on any
 * disk. What must not be deleted even though no disk uses it now is among them.
 */
export async function layersNeeded(
  ports: CommandPorts,
  domain: Pick<ObservedDomain, 'disks' | 'snapshots'>,
  pins: readonly PinnedLayer[],
): Promise<ReadonlySet<string>> {
  const layers = new Map<string, Layer>();
  for (const disk of domain.disks) {
    addChain(layers, disk);
    // A disk that is refused has layers all the same: as far as they can be followed.
    if (disk.layers.length > 0 || disk.definedPath === undefined) continue;
    await walk(ports, layers, disk.definedPath, disk.format).catch((thrown: unknown) => {
      if (HoldfastError.from(thrown).code !== 'BACKING_FILE_MISSING') throw thrown;
    });
  }
  for (const pin of pins) await walk(ports, layers, pin.path, 'qcow2');
  for (const { pinnedPath, pinnedFormat } of domain.snapshots.flatMap((snapshot) => snapshot.disks)) {
    await walk(ports, layers, pinnedPath, pinnedFormat);
  }
  return new Set(layers.keys());
}

/**
 * Adds a layer and what is under it, down to what is known already. False when the file is not there. Something missing
 * further down is an error: what lay under it cannot be seen, and might be under a layer that is to be changed.
 */
async function walk(ports: CommandPorts, layers: Map<string, Layer>, head: string, headFormat: ImageFormat): Promise<boolean> {
  let format = headFormat;
  for (let path: string | undefined = head; path !== undefined && !layers.has(path);) {
    if ((await ports.files.stat(path)) === undefined) {
      if (path === head) return false;
      throw new HoldfastError(
        'BACKING_FILE_MISSING',
        `${path}, a layer under ${head}, does not exist. Bring it back or mount its storage.`,
        { path: head, layer: path },
      );
    }
    const below: { path: string; format: ImageFormat } | undefined = await backingOf(ports, path, format);
    layers.set(path, { format, parent: below?.path });
    format = below?.format ?? format;
    path = below?.path;
  }
  return true;
}

/** A layer that nobody named, and what is under it, down to the first known one; nothing when it leads to none of these. */
async function branchOn(ports: CommandPorts, layers: ReadonlyMap<string, Layer>, head: string): Promise<[string, Layer][]> {
  const all = new Map(layers);
  try {
    await walk(ports, all, head, 'qcow2');
  } catch (thrown) {
    // Whatever it lay on, it shows it no more.
    if (HoldfastError.from(thrown).code === 'BACKING_FILE_MISSING' || (await isNoLayer(ports, head))) return [];
    throw thrown;
  }
  const branch = [...all].filter(([path]) => !layers.has(path));
  return branch.at(-1)?.[1].parent === undefined ? [] : branch;
}

async function backingOf(
  ports: CommandPorts,
  path: string,
  format: ImageFormat,
): Promise<{ path: string; format: ImageFormat } | undefined> {
  if (format === 'raw') return undefined;
  const info = await ports.images.info(path, format);
  if (info.backingName === undefined) return undefined;
  if (info.backingPath !== undefined && info.backingFormat !== undefined)
    return { path: info.backingPath, format: info.backingFormat };
  throw new HoldfastError(
    'DISK_UNSUPPORTED',
    `${path} names ${info.backingName} as its backing file, which is no plain file or has no format written down. Write it with qemu-img rebase -u -F.`,
    { path },
  );
}

/** The active chain first: its names and formats are those that count. */
function addChain(layers: Map<string, Layer>, disk: ObservedDisk): void {
  disk.layers.forEach(({ path, format }, index) => layers.set(path, { format, parent: disk.layers[index + 1]?.path }));
}

function isOf(target: string): (disk: { readonly target: string }) => boolean {
  return (disk) => disk.target === target;
}
