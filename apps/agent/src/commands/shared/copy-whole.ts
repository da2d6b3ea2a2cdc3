/** Copying a small file whole: .partial, fsync, rename. Owns that order. */
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

/** Copies `from` to `to` unless `to` is there already: what has the final name is whole. True when it was copied. */
export async function copyWhole(ports: Pick<CommandPorts, 'files'>, from: string, to: string): Promise<boolean> {
  if ((await ports.files.stat(to)) !== undefined) return false;
  await ports.files.copyFile(from, to + PARTIAL_SUFFIX);
  await ports.files.rename(to + PARTIAL_SUFFIX, to);
  return true;
}
