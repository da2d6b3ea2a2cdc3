/** Pages by key, for every list. Owns the form of the cursor: the key of the last item, base64url. */
import { z } from 'zod';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Page, PageQuery } from '@holdfast/shared/api/common.js';

/** Decodes `after`; undefined at the first page. INVALID_INPUT for a cursor that is not one of ours. */
export function cursorOf(query: Pick<PageQuery, 'after'>): string | undefined {
  if (query.after === undefined || query.after === '') return undefined;
  const text = Buffer.from(query.after, 'base64url').toString('utf8');
  // Names that are keys hold no NUL, and the database refuses to look for one.
  if (!text.startsWith('k:') || text.includes('\0'))
    throw new HoldfastError(
      'INVALID_INPUT',
      'The value of "after" is not the "next" of a page. Use the value that the page before gave.',
      { after: query.after },
    );
  return text.slice(2);
}

/** As {@link cursorOf}, for lists keyed by a number. */
export function numericCursorOf(query: Pick<PageQuery, 'after'>): bigint | undefined {
  const text = cursorOf(query);
  if (text === undefined) return undefined;
  if (!/^\d{1,18}$/.test(text)) throw ofAnotherList(query);
  return BigInt(text);
}

/** As {@link cursorOf}, for lists keyed by an id. */
export function idCursorOf(query: Pick<PageQuery, 'after'>): string | undefined {
  const text = cursorOf(query);
  if (text !== undefined && !z.uuid().safeParse(text).success) throw ofAnotherList(query);
  return text;
}

function ofAnotherList({ after = '' }: Pick<PageQuery, 'after'>): HoldfastError {
  return new HoldfastError('INVALID_INPUT', 'The value of "after" is not the "next" of a page of this list.', { after });
}

/** Makes a page of `limit` out of `limit + 1` fetched rows. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  key: (row: Row) => string,
  view: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { items: shown.map(view), ...(more ? { next: Buffer.from(`k:${key(last)}`, 'utf8').toString('base64url') } : {}) };
}
