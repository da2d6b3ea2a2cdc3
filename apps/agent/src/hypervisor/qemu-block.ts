/**
 * Reads which files QEMU has open, from its own answers. Pure: QMP answers in, data out.
 */
import type { DiskFacts } from './domain-facts.js';

/** One layer as QEMU has it open. */
export interface QemuLayer {
  /** Undefined when the layer is no plain file, or QEMU's name for it was cut off. */
  readonly path: string | undefined;
  readonly format: string;
  readonly virtualSizeBytes: bigint;
  readonly allocatedBytes: bigint;
}

export interface QemuDisk {
  /** The device's id or its path in the object tree. */
  readonly qdev: string;
  /** Active layer first; filters left out. */
  readonly layers: readonly QemuLayer[];
}

interface Image {
  readonly filename?: string;
  readonly format?: string;
  readonly 'virtual-size'?: number;
  readonly 'actual-size'?: number;
  readonly 'backing-image'?: Image;
}

/** What `query-block` answers, as far as it is read here. */
export type QueryBlock = readonly { readonly qdev?: string; readonly inserted?: { readonly image?: Image } }[];

/** What `query-named-block-nodes` answers, as far as it is read here. */
export type BlockNodes = readonly { readonly 'node-name'?: string; readonly drv: string; readonly file: string }[];

// Nodes that QEMU puts between layers while jobs run, or that libvirt inserts; they are no files.
const FILTERS = new Set([
  'commit_top',
  'mirror_top',
  'copy-on-read',
  'throttle',
  'preallocate',
  'copy-before-write',
  'compress',
  'blkverify',
]);

/** The drives of a QEMU that have an image. */
export function readQemuDisks(answer: QueryBlock): QemuDisk[] {
  return answer.flatMap(({ qdev, inserted }) => {
    if (qdev === undefined || inserted?.image === undefined) return [];
    const layers: QemuLayer[] = [];
    for (let image: Image | undefined = inserted.image; image !== undefined; image = image['backing-image']) {
      if (FILTERS.has(image.format ?? '')) continue;
      layers.push({
        path: filePath(image.filename ?? ''),
        format: image.format ?? '',
        virtualSizeBytes: BigInt(image['virtual-size'] ?? 0),
        allocatedBytes: BigInt(image['actual-size'] ?? 0),
      });
    }
    return [{ qdev, layers }];
  });
}

/** QEMU's drive of a disk. */
export function qemuDiskOf(
  disk: Pick<DiskFacts, 'alias' | 'bus' | 'target' | 'drive'>,
  disks: readonly QemuDisk[],
): QemuDisk | undefined {
  const alias = disk.alias ?? conventionalAlias(disk);
  return alias === undefined ? undefined : disks.find(({ qdev }) => qdev === alias || qdev.split('/').includes(alias));
}

/**
 * The plain path in a name that QEMU gives a node: absolute as it is, or inside a `json:` name. Undefined when it is no
 * local file, or the name is cut off (QEMU keeps 4 KiB of it).
 */
export function filePath(name: string): string | undefined {
  if (name.startsWith('/')) return name;
  if (!name.startsWith('json:')) return undefined;
  try {
    return pathIn(JSON.parse(name.slice('json:'.length)));
  } catch {
    return undefined;
  }
}

function pathIn(value: unknown): string | undefined {
  if (typeof value === 'string') return filePath(value);
  if (typeof value !== 'object' || value === null) return undefined;
  const options = value as Record<string, unknown>;
  const name = options['filename'] ?? options['file.filename'];
  if (typeof name === 'string') return filePath(name);
  return pathIn(options['file']);
}

/**
 * The alias that libvirt gives a disk which has none in its definition: persistent definitions do not hold aliases.
 * Undefined for a bus whose rule is not known here.
 */
export function conventionalAlias(disk: Pick<DiskFacts, 'bus' | 'target' | 'drive'>): string | undefined {
  const index = targetIndex(disk.target);
  if (disk.bus === 'virtio') return index === undefined ? undefined : `virtio-disk${index}`;
  if (disk.bus === 'usb') return index === undefined ? undefined : `usb-disk${index}`;
  if (disk.drive === undefined) return undefined;
  const [controller, bus, target, unit] = disk.drive;
  if (disk.bus === 'scsi') return `scsi${controller}-${bus}-${target}-${unit}`;
  if (disk.bus === 'sata' || disk.bus === 'ide') return `${disk.bus}${controller}-${bus}-${unit}`;
  return undefined;
}

function targetIndex(target: string): number | undefined {
  const letters = /^(?:fd|hd|vd|sd|xvd|ubd)([a-z]+)$/.exec(target)?.[1];
  if (letters === undefined) return undefined;
  return [...letters].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
}

/** The node of an image format, which lies over the node of its file. */
export function isFormatNode(node: BlockNodes[number]): boolean {
  return node.drv === 'qcow2' || node.drv === 'raw';
}
