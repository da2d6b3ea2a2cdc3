/**
 * A new, empty overlay over the layer that holds a snapshot. Owns the order: `.partial` → fsync → header looked at → rename →
 * fsync of the folder, so that under its final name the file is always whole.
 */
import { dirname } from 'node:path';
import type { ImageFormat } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

/** What is made, as the journal keeps it (a type, not an interface: it is also JSON). */
export type OverlayWish = {
  readonly path: string;
  /** Absolute: the layer that holds the snapshot. */
  readonly backing: string;
  readonly backingFormat: ImageFormat;
  /** Bytes, decimal. */
  readonly virtualSize: string;
};

/** Makes it, unless an earlier life has; returns its inode (decimal). */
export async function createOverlay(ports: CommandPorts, wish: OverlayWish): Promise<{ inode: string }> {
  const { path, backing, backingFormat, virtualSize } = wish;
  if ((await ports.files.stat(path)) === undefined) {
    const partial = path + PARTIAL_SUFFIX;
    await ports.files.remove(partial);
    await ports.images.create(partial, BigInt(virtualSize), { name: backing, format: backingFormat });
    await ports.files.sync(partial);
    await ports.files.rename(partial, path);
  }
  await ports.files.sync(dirname(path));
  const [info, facts] = await Promise.all([ports.images.info(path, 'qcow2'), ports.files.stat(path)]);
  if (info.backingName !== backing || info.backingFormat !== backingFormat || facts === undefined) {
    throw new HoldfastError(
      'CHAIN_UNEXPLAINED',
      `The new overlay ${path} lies on ${info.backingName ?? 'nothing'}, not on ${backing}. The VM is unchanged.`,
      { path, base: backing },
    );
  }
  return { inode: String(facts.inode) };
}
