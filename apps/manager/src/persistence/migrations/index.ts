/** All migrations, in order. A migration that was released is never edited. */
import { FirstTables1763700000001 } from './0001-first-tables.js';

export const MIGRATIONS = [FirstTables1763700000001];
