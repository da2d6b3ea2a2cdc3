/**
 * Chains of stopped disks for the inventory, without reading headers that have not changed. Owns what was read last and the
 * facts of the files it was read from. Never used for work on a chain: that looks for itself.
 */
import type { ImageFormat, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { fileFacts, type FileFacts } from '../images/file-facts.js';
import type { ImageTool } from '../images/image-tool.js';
import type { ToolRunner } from '../process/tool-runner.js';

interface Entry {
  readonly layers: readonly ObservedLayer[];
  /** One for each layer. */
  readonly stamps: readonly string[];
}

/** Paths for one `find`; keeps its command line far below the kernel's limit. */
const SHARE = 500;

export class ChainCache {
  private entries = new Map<string, Entry>();

  constructor(
    private readonly tools: ToolRunner,
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
    const facts = await this.factsOf([...new Set([...disks.map((disk) => disk.path), ...kept])]);
    const answers = new Map<string, readonly ObservedLayer[] | Error>();
    const next = new Map<string, Entry>();
    for (const disk of disks) {
      const name = key(disk, roots);
      const entry = this.entries.get(name);
      const fresh =
        entry !== undefined &&
        entry.layers.every((layer, index) => facts.has(layer.path) && stamp(facts.get(layer.path)) === entry.stamps[index]);
      const layers = fresh ? entry.layers : await this.images.chain(disk.path, disk.format, roots).catch((error: Error) => error);
      answers.set(disk.path, layers);
      if (layers instanceof Error) continue;
      // Stamps from before the headers were read: a change in between makes the next look read again.
      next.set(name, { layers, stamps: layers.map((layer) => stamp(facts.get(layer.path))) });
    }
    this.entries = next;
    return answers;
  }

  /** Facts of files that exist, whatever their number. */
  async factsOf(paths: readonly string[]): Promise<Map<string, FileFacts>> {
    const all = new Map<string, FileFacts>();
    for (let start = 0; start < paths.length; start += SHARE) {
      for (const [path, facts] of await fileFacts(this.tools, paths.slice(start, start + SHARE))) all.set(path, facts);
    }
    return all;
  }
}

function key(disk: { path: string; format: ImageFormat }, roots: readonly string[]): string {
  return JSON.stringify([disk.path, disk.format, roots]);
}

function stamp(facts: FileFacts | undefined): string {
  return facts === undefined ? '' : `${facts.identity} ${facts.modified} ${facts.sizeBytes}`;
}
