/**
 * Requests and results as JSON for the journal: a bigint is `{"$bigint": "…"}`, an undefined field is left out.
 * Owns that one convention.
 */
import type { Json } from '../../operations/command.js';

function encodeValue(value: unknown): Json {
  if (typeof value === 'bigint') return { $bigint: value.toString() };
  if (Array.isArray(value)) return value.map(encodeValue);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, entry]) => entry !== undefined)
        .map(([key, entry]) => [key, encodeValue(entry)]),
    );
  }
  return value as Json;
}

function decodeValue(json: Json): unknown {
  if (Array.isArray(json)) return json.map(decodeValue);
  if (json !== null && typeof json === 'object') {
    const fields = json as { readonly [key: string]: Json };
    if (typeof fields['$bigint'] === 'string') return BigInt(fields['$bigint']);
    return Object.fromEntries(Object.entries(fields).map(([key, entry]) => [key, decodeValue(entry)]));
  }
  return json;
}

/** Encoder and decoder of a plain data type. The journal is written by this program alone, so decoding trusts its shape. */
export function bigintJson<T>(): { encode(value: T): Json; decode(json: Json): T } {
  return { encode: (value) => encodeValue(value), decode: (json) => decodeValue(json) as T };
}
