/** Shapes that every resource of the public API shares: pages, errors, times, names. */
import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../errors/error-codes.js';

/** A moment, ISO 8601 in UTC. */
export const timeSchema = z.iso.datetime().describe('ISO 8601, UTC');

/**
 * Text that callers send: so long at most, and nothing that the database cannot store (NUL, halves of characters). Every text
 * of an input is one of these, or is compared with what is known and never stored or asked for.
 */
export function textSchema(maximum: number) {
  return z
    .string()
    .max(maximum, `it has at most ${maximum} characters`)
    .regex(/^[^\0\p{Cs}]*$/u, 'it must not contain a NUL or half a character');
}

/** Names that people give. Any characters but control ones; unique where the resource says so. */
export const nameSchema = z
  .string()
  .trim()
  .min(1, 'a name must not be empty')
  .max(255, 'a name has at most 255 characters')
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'a name must not contain control characters');

export const descriptionSchema = textSchema(1024);

/** Paths, options and the like. */
export const longTextSchema = textSchema(4096);

/** A switch, off by default. In a query "true" and "false" are meant by their words. */
export const flagSchema = z.union([z.boolean(), z.stringbool({ truthy: ['true'], falsy: ['false'] })]).default(false);

/** Query of every list: pages by key. `after` is the `next` of the page before. */
export const pageQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  // The key of an item is in it: a name of 255 characters, encoded.
  after: textSchema(2048).optional(),
});
export type PageQuery = z.infer<typeof pageQuerySchema>;

/** `{ items, next? }`. */
export function pageSchema<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().optional() });
}
export interface Page<T> {
  items: T[];
  /** Give as `after` to get the next page; absent on the last. */
  next?: string | undefined;
}

const errorCodes = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];
export const errorCodeSchema = z.enum(errorCodes);

/** An error as data, inside resources (why a backup failed). */
export const errorDataSchema = z.object({
  code: errorCodeSchema,
  message: z.string(),
  fields: z.record(z.string(), z.string()),
});

/** RFC 9457 problem details: the body of every error answer (application/problem+json). */
export const problemSchema = z.object({
  type: z.string().describe('urn:holdfast:error:<code in lower case with dashes>'),
  title: z.string().describe('The code, in words'),
  status: z.number().int(),
  detail: z.string().describe('What happened to what, and the way out'),
  instance: z.string().optional().describe('The request path'),
  code: errorCodeSchema,
  retryable: z.boolean(),
  fields: z.record(z.string(), z.string()),
  issues: z
    .array(z.object({ path: z.string(), message: z.string() }))
    .optional()
    .describe('Each wrong input field'),
});
export type Problem = z.infer<typeof problemSchema>;
