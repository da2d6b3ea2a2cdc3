/** Files on an ext4 file system in a disk image, read on the host without mounting it. Owns the way there; the image is not touched. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandError, run, tryRun } from './command.js';
import { digestOf } from './content.js';
import { copyFlat, type ImageFormat } from './images.js';

/** e2fsck: nothing to mend, or mended (a journal that was replayed). */
const SOUND = [0, 1];

/** Path below the root of the file system → SHA-256; a file that is not there has no entry. Throws when the file system is none. */
export async function ext4Digests(image: string, format: ImageFormat, paths: readonly string[]): Promise<Map<string, string>> {
  const scratch = await mkdtemp(join(tmpdir(), 'holdfast-ext4-'));
  try {
    const flat = join(scratch, 'flat.raw');
    await copyFlat(image, format, flat);
    const check = ['e2fsck', '-f', '-y', flat];
    const checked = await tryRun(check);
    if (!SOUND.includes(checked.exitCode)) throw commandError(check, checked);
    const digests = new Map<string, string>();
    for (const [index, path] of paths.entries()) {
      const file = join(scratch, String(index));
      await run(['debugfs', '-R', `dump "${path}" ${file}`, flat]);
      const bytes = await readFile(file).catch(() => undefined);
      if (bytes !== undefined) digests.set(path, digestOf(bytes));
    }
    return digests;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
