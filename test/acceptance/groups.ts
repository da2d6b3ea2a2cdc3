/** Every group of rows, once. Adding rows means adding a line. */
import type { AnyRowGroup } from './row.js';
import { attachRows } from './rows/attach.js';
import { chainRows } from './rows/chain.js';
import { compactionRows } from './rows/compaction.js';
import { crashRows } from './rows/crash.js';
import { databaseLostRows } from './rows/database-lost.js';
import { failedCopyRows } from './rows/failed-copy.js';
import { failedRestoreRows } from './rows/failed-restore.js';
import { holdfastLostRows } from './rows/holdfast-lost.js';
import { movedVmRows } from './rows/moved-vm.js';
import { restoreRows } from './rows/restore.js';
import { snapshotBackupRows } from './rows/snapshot-backups.js';
import { snapshotRows } from './rows/snapshots.js';
import { staleStartRows } from './rows/stale-start.js';
import { walkRows } from './rows/walk.js';
import { volumeSnapshotRows } from './rows/volume-snapshot.js';

export const rowGroups: readonly AnyRowGroup[] = [
  snapshotRows,
  chainRows,
  movedVmRows,
  snapshotBackupRows,
  attachRows,
  volumeSnapshotRows,
  restoreRows,
  failedRestoreRows,
  databaseLostRows,
  holdfastLostRows,
  failedCopyRows,
  staleStartRows,
  compactionRows,
  crashRows,
  walkRows,
];

/**
 * The ids that a selection like `B1,B2`, `B` or `B,X6` means; empty or absent: all. Throws, naming what there is, for
 * a word that selects nothing.
 */
export function selectRows(selection: string | undefined): ReadonlySet<string> {
  const all = rowGroups.flatMap(({ ids }) => ids);
  const words = (selection ?? '').split(/[,\s]+/).filter((word) => word !== '');
  if (words.length === 0) return new Set(all);
  const chosen = words.flatMap((word) => {
    const found = all.filter((id) => id.toUpperCase() === word.toUpperCase() || id.replace(/\d+$/, '') === word.toUpperCase());
    if (found.length === 0) throw new Error(`no row is called "${word}". There are: ${all.join(' ')}`);
    return found;
  });
  return new Set(chosen);
}
