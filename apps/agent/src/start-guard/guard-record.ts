/**
 * What the start guard knows of one VM: layers from which it must not start, and the file that it should start from instead.
 * Owns the rule that makes such a record out of what is observed, and its text, which the hook script reads. Pure.
 *
 *   holdfast-start-guard 1
 *   layer<TAB><stale file><TAB><right file>
 */
import { hasLayerName } from '@holdfast/shared/chain/layer-names.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';

/** A stale file, and the file to start from. The hook goes by it only while the right file exists. */
export type GuardPair = readonly [stale: string, right: string];

/** What looks of this host say: each stale file has one right one. */
export type GuardRecord = ReadonlyMap<string, string>;

const HEADING = 'holdfast-start-guard 1';

/** Pairs as the hook script reads them: the first that fits counts. A name that does not fit into a line is not guarded. */
export function printPairs(pairs: Iterable<GuardPair>): string {
  const lines = [...pairs].filter((pair) => pair.every(isOneWord)).map(([stale, right]) => `layer\t${stale}\t${right}`);
  return [HEADING, ...lines, ''].join('\n');
}

/** The reverse of printPairs; none for text that is no record. */
export function parsePairs(text: string): GuardPair[] {
  const [heading, ...lines] = text.split('\n');
  if (heading !== HEADING) return [];
  return lines.flatMap((line) => {
    const [kind, stale, right] = line.split('\t');
    return kind === 'layer' && stale && right ? [[stale, right] as const] : [];
  });
}

/** Everything below a layer of ours is stale, and the active layer is right. The active one first. */
export function staleBelow([active, ...lower]: readonly string[]): GuardPair[] {
  if (active === undefined) return [];
  let belowOurs = hasLayerName(active);
  return lower.flatMap((path) => {
    const pairs: GuardPair[] = belowOurs ? [[path, active]] : [];
    belowOurs ||= hasLayerName(path);
    return pairs;
  });
}

/**
 * The record after a look at the VM on this host. What runs is right by itself; a stopped VM whose definition names a stale layer
 * changes nothing: it is just what the guard is for.
 */
export function recordAfter(before: GuardRecord, domain: ObservedDomain): GuardRecord {
  const after = new Map(before);
  for (const disk of domain.disks) {
    const layers = disk.layers.map((layer) => layer.path);
    const [active] = layers;
    if (active === undefined) continue;
    if (after.has(active) && domain.state === 'shut-off') continue;
    after.delete(active);
    for (const [stale, right] of staleBelow(layers)) after.set(stale, right);
  }
  return after;
}

/** The record when Holdfast itself points the VM at these files. */
export function recordWithRight(before: GuardRecord, sources: Iterable<string>): GuardRecord {
  const after = new Map(before);
  for (const source of sources) after.delete(source);
  return after;
}

/** True for equal records, whatever their order. */
export function sameRecord(a: GuardRecord, b: GuardRecord): boolean {
  return a.size === b.size && [...a].every(([stale, right]) => b.get(stale) === right);
}

/** The disks whose defined file is called stale though the VM is stopped: their records must be looked at again. */
export function doubted(before: GuardRecord, domain: ObservedDomain): string[] {
  if (domain.state !== 'shut-off') return [];
  return domain.disks.flatMap((disk) => disk.layers[0]?.path ?? []).filter((active) => before.has(active));
}

function isOneWord(path: string): boolean {
  return path !== '' && !/[\t\n\r]/.test(path);
}
