/**
 * Which chains can be made shorter at their old end: the oldest backup is deleted and kept for one child alone, so the two can
 * be merged. Pure: rows in, pairs out. Must not know whether anybody wants that.
 */
import type { BackupState } from '../api/backups.js';

/** One backup of a VM. */
export interface CompactionBackup {
  readonly id: string;
  readonly state: BackupState;
  readonly type: 'FULL' | 'INCREMENTAL';
  readonly parentId: string | null;
}

export interface CompactionPair {
  /** Removed, the oldest of its chain: its files are taken over. */
  readonly absorbedId: string;
  /** Full afterwards. */
  readonly childId: string;
}

/** States in which a backup has files, or is making them. */
const WITH_FILES: readonly BackupState[] = ['BackingUp', 'BackedUp', 'Removed', 'DeleteFailed'];
/** States in which its files are whole. */
const WHOLE: readonly BackupState[] = ['BackedUp', 'Removed'];

/** All pairs of the VM that can be merged now, at most one per chain. `backups`: all of the VM. */
export function compactablePairs(backups: readonly CompactionBackup[]): CompactionPair[] {
  return backups.flatMap((oldest) => {
    if (oldest.state !== 'Removed' || oldest.type !== 'FULL' || oldest.parentId !== null) return [];
    const children = backups.filter(({ parentId, state }) => parentId === oldest.id && WITH_FILES.includes(state));
    const [child] = children;
    if (child === undefined || children.length > 1 || !WHOLE.includes(child.state)) return [];
    return [{ absorbedId: oldest.id, childId: child.id }];
  });
}

const FIRST_BACKOFF_MS = 60_000;
const LONGEST_BACKOFF_MS = 24 * 3_600_000;

/** Time until a compaction that failed so many times is tried again: a minute, doubled each time, at most a day. */
export function compactionBackoffMs(failures: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(Math.max(failures - 1, 0), 20), LONGEST_BACKOFF_MS);
}
