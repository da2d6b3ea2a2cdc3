/**
 * Which files on a storage were seen whole: as long as one is untouched, nobody has to look at it again. Owns the proof of that, which
 * is the kernel's: inode, size and the time of the last change, on a file system that was not mounted anew since.
 */
import { stat } from 'node:fs/promises';
import type { TestStorage } from '../testbed/test-storage.js';

const storages = new WeakMap<TestStorage, WholeFiles>();

export class WholeFiles {
  private readonly files = new Map<string, string>();
  private mounts = 0;

  private constructor(private readonly storage: TestStorage) {}

  /** Always the same one for a storage. */
  static on(storage: TestStorage): WholeFiles {
    const known = storages.get(storage) ?? new WholeFiles(storage);
    storages.set(storage, known);
    return known;
  }

  /** What `look` finds wrong; it is not called for a file in which it found nothing for the same `wish`, and that is untouched. */
  async look(file: string, wish: string, look: () => Promise<string[]>): Promise<string[]> {
    // A mount after a power loss may show old bytes under a new time.
    if (this.mounts !== this.storage.mounts) this.files.clear();
    this.mounts = this.storage.mounts;
    const facts = await factsOf(file);
    const proof = `${facts} ${wish}`;
    if (this.files.get(file) === proof) return [];
    const found = await look();
    // Written to meanwhile: of which bytes that was true, nobody knows.
    if (found.length === 0 && (await factsOf(file)) === facts) this.files.set(file, proof);
    else this.files.delete(file);
    return found;
  }
}

async function factsOf(file: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}
