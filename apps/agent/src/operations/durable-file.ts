/**
 * Small durable files in the agent's own state directory: written whole or not at all. In-process I/O: never for targets.
 */
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces `path` by `text`: temporary file, fsync, rename, fsync of the directory. Its directory must exist. */
export async function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.new`;
  await writeSynced(temporary, text, mode);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Writes and syncs a file that nobody reads yet. Neither whole at every moment nor certain to have its name after a power loss. */
export async function writeSynced(path: string, text: string, mode = 0o600): Promise<void> {
  const file = await open(path, 'w', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** fsync of a directory: its entries survive a power loss. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes a directory of the state durable, with those above it that are missing. */
export async function makeStateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await syncDirectory(dirname(path));
}
