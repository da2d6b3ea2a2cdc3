/** Why can a layer that is frozen not be copied? Owns that error. Pure. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { PlannedVolume } from './preflight.js';

/**
 * Says more of an IMAGE_LOCKED on a layer that the snapshot has frozen. QEMU opens such a layer again read-only, and when it
 * may not read the file it keeps it open for writing without a word: after a migration on shared storage that libvirt takes
 * for a local file system, the host that was left has given the file to root (decision 0061). Anything else is told as it came.
 */
export function explainHeldLayer(volume: PlannedVolume, thrown: unknown): unknown {
  if (!(thrown instanceof HoldfastError) || thrown.code !== 'IMAGE_LOCKED') return thrown;
  const path = thrown.fields['path'];
  if (!volume.before.some((layer) => layer.path === path)) return thrown;
  return new HoldfastError(
    'IMAGE_LOCKED',
    `${path} cannot be copied: it is still open for writing, although the snapshot over it is made. Either something merges into it, or QEMU may not read it any more and could not open it again read-only, as after a migration on storage that libvirt does not know to be shared: see who owns it (ls -l) and give it to the user of QEMU. Then take the backup again.`,
    thrown.fields,
    { cause: thrown },
  );
}
