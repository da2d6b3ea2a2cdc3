/** Is there room on primary? Owns the sum for each folder and the error; looks, and writes nothing. */
import { dirname } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { formatBytes } from '@holdfast/shared/units/bytes.js';
import type { CommandPorts } from '../ports.js';

/** Room that a new overlay needs at least: what the guest writes goes there at once. */
export const OVERLAY_HEADROOM_BYTES = 64n << 20n;

/**
 * PRIMARY_FULL when a folder has less room than the files that go there need together. `say`: the sentence that follows
 * "… has N free;", with what is needed and the way out.
 */
export async function demandPrimarySpace(
  ports: Pick<CommandPorts, 'files'>,
  files: readonly { readonly path: string; readonly bytes: bigint }[],
  say: (needed: string) => string,
): Promise<void> {
  const perFolder = new Map<string, bigint>();
  for (const { path, bytes } of files) {
    const folder = dirname(path);
    perFolder.set(folder, (perFolder.get(folder) ?? 0n) + bytes);
  }
  for (const [folder, needed] of perFolder) {
    const { freeBytes } = await ports.files.space(folder);
    if (freeBytes >= needed) continue;
    throw new HoldfastError(
      'PRIMARY_FULL',
      `Primary storage at ${folder} has ${formatBytes(freeBytes)} free; ${say(formatBytes(needed))}`,
      { path: folder, freeBytes: String(freeBytes), neededBytes: String(needed) },
    );
  }
}
