/** Which layer an increment of a volume begins with, as the manager planned it. */
import type { TakeBackupRequest, TakeBackupVolume } from '../requests.js';

/** Undefined: the volume is copied in full, on no file of the parent backup. */
export function parentDelta({ type }: TakeBackupRequest, { parentDeltaPath }: TakeBackupVolume): string | undefined {
  return type === 'FULL' ? undefined : parentDeltaPath;
}
