/** One text for one meaning: JSON with sorted keys, so that equal parameters have equal digests. Pure. */
import { createHash } from 'node:crypto';
import type { Json } from './command.js';

/** JSON with the keys of every object sorted and absent values left out. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item)).join(',')}]`;
  const members = Object.entries(value as { readonly [key: string]: Json | undefined })
    .filter((member): member is [string, Json] => member[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${members.join(',')}}`;
}

/**
 * Digest of a request's parameters. The fencing token is left out: it is the right to act, not what is to be done, and a
 * manager that took over sends the same request under a newer one.
 */
export function paramsHash(request: Json): string {
  const { header, ...rest } = request as { readonly [key: string]: Json };
  return createHash('sha256')
    .update(canonicalJson({ ...rest, header: { ...(header as { readonly [key: string]: Json }), fencingToken: undefined } }))
    .digest('hex');
}
