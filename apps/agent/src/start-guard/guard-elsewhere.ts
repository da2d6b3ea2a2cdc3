/**
 * What the start guard knows of a VM that is on another host, told by the manager: layers that were put on its disks there, or are
 * about to be. Owns the rule that makes pairs of stale and right files out of it. Pure but for the question what exists.
 *
 * An operation may put a new layer on and take the one below it away before anybody tells of it again. So a stale file may have
 * several right ones, the newest first: the hook goes by the first that exists.
 */
import { staleBelow, type GuardPair } from './guard-record.js';

/** A volume of such a VM. */
export interface VolumeElsewhere {
  /** As last seen, the active one first. */
  readonly layers: readonly string[];
  /** New active layers that an operation is about to put on them. */
  readonly planned: readonly string[];
  /** The first of the layers is known to be the newest; else it may be a stale one that the stopped VM was pointed at. */
  readonly certain: boolean;
}

/** A VM that is on another host. */
export interface VmElsewhere {
  readonly vmUuid: string;
  /** Grows with every operation on the VM: says which of two tellings is the newer one. */
  readonly fencingToken: bigint;
  readonly volumes: readonly VolumeElsewhere[];
}

/**
 * The pairs after a telling. What was told before stays while both files are there, but for a file that is now known to be right.
 * A planned layer that never came is forgotten with the first telling that does not name it.
 */
export async function pairsElsewhere(
  before: readonly GuardPair[],
  volumes: readonly VolumeElsewhere[],
  exists: (path: string) => Promise<boolean>,
): Promise<GuardPair[]> {
  const right = new Set(knownRight(volumes));
  const old = before.filter(([stale]) => !right.has(stale));
  const told: GuardPair[] = [];
  for (const { layers, planned } of volumes) {
    for (const layer of planned) told.push(...layers.map((stale): GuardPair => [stale, layer]));
    if (!(await isStale(layers[0], old, exists))) told.push(...staleBelow(layers));
  }
  const pairs = new Map(told.map((pair) => [pair.join('\n'), pair]));
  for (const pair of old) {
    const key = pair.join('\n');
    if (!pairs.has(key) && (await exists(pair[0])) && (await exists(pair[1]))) pairs.set(key, pair);
  }
  return [...pairs.values()];
}

/** The files that the VM is right to start from, whatever was known before. */
export function knownRight(volumes: readonly VolumeElsewhere[]): string[] {
  return volumes.flatMap(({ certain, layers }) => (certain ? layers.slice(0, 1) : []));
}

async function isStale(
  path: string | undefined,
  pairs: readonly GuardPair[],
  exists: (path: string) => Promise<boolean>,
): Promise<boolean> {
  for (const [stale, right] of pairs) if (stale === path && (await exists(right))) return true;
  return false;
}
