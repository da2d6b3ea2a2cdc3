/** Changing a small file that exists: .partial, fsync, rename over it, fsync of the folder. Owns that order. */
import { dirname } from 'node:path';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { CommandPorts } from '../ports.js';

/** Afterwards `path` holds `text`, durably; at every instant it holds the old or the new text, whole. NOT_FOUND without the file. */
export async function replaceWhole(ports: Pick<CommandPorts, 'files'>, path: string, text: string): Promise<void> {
  if ((await ports.files.readText(path)) !== text) {
    await ports.files.writeText(path + PARTIAL_SUFFIX, text);
    await ports.files.replace(path + PARTIAL_SUFFIX, path);
  }
  await ports.files.sync(dirname(path));
}
