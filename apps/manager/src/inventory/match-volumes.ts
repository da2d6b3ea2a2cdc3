/**
 * Says which disk of an observation is which volume that is known. Pure. The identity of a volume is its files; its target
 * device and serial count only where no file is known again.
 */

export interface KnownVolume {
  readonly id: string;
  readonly target: string;
  readonly serial: string;
  readonly attached: boolean;
  readonly virtualSizeBytes: bigint;
  readonly activePath: string | undefined;
  readonly basePath: string;
  /** The file that a running restore is about to switch to. */
  readonly intendedPath: string | null;
  /** Layers of ours that it has or had: deltas of backups, overlays and layers of snapshots. */
  readonly ownPaths: readonly string[];
}

export interface SeenDiskFacts {
  readonly target: string;
  readonly serial: string;
  readonly virtualSizeBytes: bigint;
  /** From the active layer down; empty when the disk cannot be looked into. */
  readonly paths: readonly string[];
}

/**
 * `same`: its files are known again. `unreadable`: the disk cannot be looked into now, nothing is concluded.
 * `moved`: the same disk by target and size or serial, with other files: its deltas are worth nothing.
 */
export type VolumeMatchKind = 'same' | 'unreadable' | 'moved';

export interface VolumeMatches<D extends SeenDiskFacts> {
  readonly matches: readonly { readonly volumeId: string; readonly disk: D; readonly kind: VolumeMatchKind }[];
  readonly added: readonly D[];
  /** Ids of attached volumes that were not seen: they are detached now, and kept. */
  readonly missing: readonly string[];
}

type Rule<D> = (disk: D, volume: KnownVolume) => boolean;

export function matchVolumes<D extends SeenDiskFacts>(known: readonly KnownVolume[], seen: readonly D[]): VolumeMatches<D> {
  const matches: { volumeId: string; disk: D; kind: VolumeMatchKind }[] = [];
  const volumes = new Map(known.map((volume) => [volume.id, volume]));
  const disks = new Set(seen);

  // Strongest evidence first, over all disks, so that a weak match never takes a volume from a strong one.
  const rules: { kind: VolumeMatchKind; applies: Rule<D> }[] = [
    { kind: 'same', applies: (disk, volume) => disk.paths[0] !== undefined && disk.paths[0] === volume.activePath },
    { kind: 'same', applies: (disk, volume) => volume.ownPaths.some((path) => disk.paths.includes(path)) },
    { kind: 'same', applies: (disk, volume) => volume.intendedPath !== null && disk.paths.includes(volume.intendedPath) },
    { kind: 'same', applies: (disk, volume) => disk.paths.includes(volume.basePath) },
    {
      kind: 'unreadable',
      applies: (disk, volume) => disk.paths.length === 0 && volume.attached && disk.target === volume.target,
    },
    {
      kind: 'moved',
      applies: (disk, volume) => disk.paths.length > 0 && volume.attached && disk.target === volume.target && alike(disk, volume),
    },
  ];
  for (const { kind, applies } of rules) {
    for (const disk of disks) {
      const found = [...volumes.values()].find((volume) => applies(disk, volume));
      if (found === undefined) continue;
      matches.push({ volumeId: found.id, disk, kind });
      volumes.delete(found.id);
      disks.delete(disk);
    }
  }
  const missing = [...volumes.values()].filter((volume) => volume.attached).map((volume) => volume.id);
  return { matches, added: [...disks], missing };
}

function alike(disk: SeenDiskFacts, volume: KnownVolume): boolean {
  if (disk.serial !== '' || volume.serial !== '') return disk.serial === volume.serial;
  return disk.virtualSizeBytes === volume.virtualSizeBytes;
}
