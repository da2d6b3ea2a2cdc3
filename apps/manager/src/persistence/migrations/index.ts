/** All migrations, in order. A migration that was released is never edited. */
export const MIGRATIONS: never[] = [];
