/** Is a name not there, by what the folders above it list? Owns that walk. */
import { basename, dirname } from 'node:path';
import type { FileLooks } from './file-looks.js';

/** True when the directory above could be read and has no such name, or is itself unlisted. */
export async function isUnlisted(looks: Pick<FileLooks, 'names'>, path: string): Promise<boolean> {
  const parent = dirname(path);
  if (parent === path) return false;
  const names = await looks.names(parent);
  return names === undefined ? isUnlisted(looks, parent) : !names.includes(basename(path));
}
