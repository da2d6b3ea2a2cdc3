/** All migrations, in order. A migration that was released is never edited. */
import { FirstTables1763700000001 } from './0001-first-tables.js';
import { VmSnapshots1763700000004 } from './0004-vm-snapshots.js';

export const MIGRATIONS = [FirstTables1763700000001, VmSnapshots1763700000004];
