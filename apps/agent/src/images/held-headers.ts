/**
 * Headers of layers that a QEMU of this host has open, without reading again what has not changed. Owns what was read last. Only
 * for such layers: their image locks keep every other writer out, on this host and on others, and what QEMU itself writes is seen
 * here at once, as a newer time of the file. A layer that nobody holds may be changed on another host, of which this one hears late.
 */
import type { FileFacts } from '../looks/file-looks.js';
import type { ImageInfo } from './image-tool.js';

/** What is kept was read so long after the file's last change that no two changes around it can have the same time. */
const SETTLED_MS = 2_000;
const MOST_ENTRIES = 4_096;

export class HeldHeaders {
  private readonly entries = new Map<string, { readonly stamp: string; readonly info: ImageInfo }>();

  /** `facts`: of a look that began before this call. `read`: reads the header. */
  async of(path: string, facts: FileFacts, format: string, read: () => Promise<ImageInfo>): Promise<ImageInfo> {
    const stamp = `${facts.identity} ${facts.modified} ${facts.sizeBytes} ${format}`;
    const entry = this.entries.get(path);
    if (entry?.stamp === stamp) return entry.info;
    const settled = Date.now() - Number(facts.modified) * 1_000 > SETTLED_MS;
    const info = await read();
    this.entries.delete(path);
    if (settled) this.entries.set(path, { stamp, info });
    const [oldest] = this.entries.keys();
    if (this.entries.size > MOST_ENTRIES && oldest !== undefined) this.entries.delete(oldest);
    return info;
  }
}
