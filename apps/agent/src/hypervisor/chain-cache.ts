/**
 * Chains of stopped disks for the inventory, without reading headers that have not changed. Owns what was read last and the
 * facts of the files it was read from. Never used for work on a chain: that looks for itself.
 */
import { dirname } from 'node:path';
import type { ImageFormat, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ChainWish, ImageTool } from '../images/image-tool.js';
import type { FileFacts, FileLooks } from '../looks/file-looks.js';
import { shares } from '../looks/shares.js';

interface Entry {
  readonly layers: readonly ObservedLayer[];
  /** One for each layer. */
  readonly stamps: readonly string[];
}

/** Chains whose headers are read at the same time. */
const READ_AT_ONCE = 8;

export class ChainCache {
  private entries = new Map<string, Entry>();

  constructor(
    private readonly looks: FileLooks,
    private readonly images: ImageTool,
  ) {}

  /**
   * The chain below each disk, or the error that reading it gave. Costs one look at all files, and headers only of chains
   * of which a file has changed. Errors are never kept. What is not asked for any more is forgotten.
   */
  async chains(
    disks: readonly { path: string; format: ImageFormat }[],
    roots: readonly string[],
  ): Promise<Map<string, readonly ObservedLayer[] | Error>> {
    const kept = disks.flatMap((disk) => this.entries.get(key(disk, roots))?.layers.map((layer) => layer.path) ?? []);
    const { facts, silent } = await this.look([...new Set([...disks.map((disk) => disk.path), ...kept])]);
    const answers = new Map<string, readonly ObservedLayer[] | Error>();
    const next = new Map<string, Entry>();
    const stale: ChainWish[] = [];
    for (const disk of disks) {
      const name = key(disk, roots);
      const entry = this.entries.get(name);
      const hanging = [disk.path, ...(entry?.layers ?? []).map((layer) => layer.path)].find((path) => silent.has(dirname(path)));
      if (hanging !== undefined) {
        answers.set(disk.path, storageHangs(hanging));
        if (entry !== undefined) next.set(name, entry);
        continue;
      }
      const fresh =
        entry !== undefined &&
        entry.layers.every((layer, index) => facts.has(layer.path) && stamp(facts.get(layer.path)) === entry.stamps[index]);
      if (fresh) {
        answers.set(disk.path, entry.layers);
        next.set(name, entry);
      } else stale.push({ ...disk, expected: entry?.layers.map((layer) => layer.path) });
    }
    for (let start = 0; start < stale.length; start += READ_AT_ONCE) {
      const share = stale.slice(start, start + READ_AT_ONCE);
      const found = await this.images.chains(share, roots);
      for (const [index, disk] of share.entries()) {
        const layers = found[index] ?? [];
        answers.set(disk.path, layers);
        if (layers instanceof Error) continue;
        // Stamps from before the headers were read: a change in between makes the next look read again.
        next.set(key(disk, roots), { layers, stamps: layers.map((layer) => stamp(facts.get(layer.path))) });
      }
    }
    this.entries = next;
    return answers;
  }

  /**
   * Facts of files that exist, whatever their number. `silent`: folders that did not answer in time; one hanging storage
   * takes nothing away from the others.
   */
  async look(paths: readonly string[]): Promise<{ facts: Map<string, FileFacts>; silent: ReadonlySet<string> }> {
    const facts = new Map<string, FileFacts>();
    const silent = new Set<string>();
    const ask = async (share: readonly string[], otherwise: () => Promise<void> | void) => {
      try {
        for (const [path, found] of await this.looks.facts(share)) facts.set(path, found);
      } catch (thrown) {
        if (HoldfastError.from(thrown).code !== 'TIMED_OUT') throw thrown;
        await otherwise();
      }
    };
    for (const share of shares(paths)) {
      await ask(share, async () => {
        const inside = (folder: string) => share.filter((path) => dirname(path) === folder);
        await Promise.all(
          [...new Set(share.map((path) => dirname(path)))].map((folder) => ask(inside(folder), () => void silent.add(folder))),
        );
      });
    }
    return { facts, silent };
  }
}

/** The error of a file whose folder did not answer. */
export function storageHangs(path: string): HoldfastError {
  return new HoldfastError(
    'STORAGE_HANGING',
    `The storage of ${path} does not answer. Look at its mount; Holdfast looks again by itself.`,
    { path },
  );
}

function key(disk: { path: string; format: ImageFormat }, roots: readonly string[]): string {
  return JSON.stringify([disk.path, disk.format, roots]);
}

function stamp(facts: FileFacts | undefined): string {
  return facts === undefined ? '' : `${facts.identity} ${facts.modified} ${facts.sizeBytes}`;
}
