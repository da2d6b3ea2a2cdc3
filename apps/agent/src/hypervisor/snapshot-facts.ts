/**
 * Reads libvirt's record of a snapshot into plain facts. Pure: XML in, data out. Must not judge chains.
 */
import type { ImageFormat, ObservedSnapshot, ObservedSnapshotDisk } from '@holdfast/shared/chain/observed-domain.js';
import { readDomain, type DiskFacts } from './domain-facts.js';
import { attribute, child, children, parseRoot, textOf } from './xml-tree.js';

/**
 * The facts of one record. `current`: libvirt's next snapshot will be its child. The layer that holds a disk's content is
 * the file that the domain used when the snapshot was taken. INVALID_INPUT when it is no record of a snapshot.
 */
export function readSnapshot(xml: string, current: boolean): ObservedSnapshot {
  const { root } = parseRoot(xml, 'domainsnapshot');
  const before = child(root, 'domain');
  const used = before === undefined ? [] : readDomain(before.toString()).disks;
  const listed = children(child(root, 'disks'), 'disk');
  const kindOf = (target: string): string => {
    const disk = listed.find((one) => attribute(one, 'name') === target);
    // A record without a list of disks is of a time when all of them were kept inside their images.
    return disk === undefined ? (listed.length === 0 ? 'internal' : 'no') : (attribute(disk, 'snapshot') ?? 'no');
  };
  const overlayOf = (target: string): string =>
    attribute(
      child(
        listed.find((one) => attribute(one, 'name') === target),
        'source',
      ),
      'file',
    ) ?? '';
  const disks = used.flatMap((disk): ObservedSnapshotDisk[] => {
    const kind = kindOf(disk.target);
    if (disk.path === undefined || (kind !== 'external' && kind !== 'internal')) return [];
    return [
      {
        target: disk.target,
        pinnedPath: disk.path,
        pinnedFormat: formatOf(disk),
        overlayPath: kind === 'external' ? overlayOf(disk.target) : '',
      },
    ];
  });
  const parent = child(root, 'parent');
  const memory = attribute(child(root, 'memory'), 'snapshot') ?? 'no';
  return {
    name: textOf(root, 'name') ?? '',
    parentName: parent === undefined ? undefined : textOf(parent, 'name'),
    createdAtUnixMs: Number(textOf(root, 'creationTime') ?? '0') * 1000,
    current,
    foreignKind: memory !== 'no' || disks.some((disk) => disk.overlayPath === ''),
    disks,
  };
}

function formatOf(disk: DiskFacts): ImageFormat {
  return disk.format === 'raw' ? 'raw' : 'qcow2';
}
