/**
 * Finds a tool in the search path, so that a missing one is known before anything is started. Owns the search path of all
 * children; looks only at the host's own program directories, never at a target.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

// mount, losetup and blockdev are here; a service's own PATH often lacks these.
const SYSTEM_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The directories that are searched: those of PATH, then the system's. */
export function searchPath(path: string | undefined): string[] {
  const own = (path ?? '').split(':').filter((directory) => directory.startsWith('/'));
  return [...new Set([...own, ...SYSTEM_DIRECTORIES])];
}

/** Absolute path of the tool; undefined when no directory has it as an executable. An absolute name is only checked. */
export async function findTool(tool: string, directories: readonly string[]): Promise<string | undefined> {
  const candidates = tool.startsWith('/') ? [tool] : directories.map((directory) => join(directory, tool));
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here; the next directory may have it.
    }
  }
  return undefined;
}
