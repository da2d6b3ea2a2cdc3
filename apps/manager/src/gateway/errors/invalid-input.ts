/** Input that a schema refused, with each wrong field named. Shared by both doors. */
import type { z } from 'zod';
import type { Problem } from '@holdfast/shared/api/common.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

type InputIssue = NonNullable<Problem['issues']>[number];

/** INVALID_INPUT with one issue per wrong field. */
export class InvalidInput extends HoldfastError {
  constructor(readonly issues: readonly InputIssue[]) {
    super(
      'INVALID_INPUT',
      `The input is wrong. ${issues.map((issue) => (issue.path === '' ? issue.message : `${issue.path}: ${issue.message}`)).join('; ')}.`,
    );
  }
}

/** What a schema found, from either the schema itself or the pipe of Nest (which passes the same issues on). */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Issues of zod as ours: fields that a shape does not have are named one by one. */
export function invalidInput(issues: readonly SchemaIssue[]): InvalidInput {
  return new InvalidInput(
    issues.flatMap((issue) => {
      const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
      const unknown = unknownKeys(issue);
      if (unknown !== undefined)
        return unknown.map((key) => ({ path: [...path, key].join('.'), message: 'there is no such field' }));
      return [{ path: path.join('.'), message: issue.message }];
    }),
  );
}

function unknownKeys(issue: SchemaIssue): readonly string[] | undefined {
  return 'code' in issue && issue.code === 'unrecognized_keys' && 'keys' in issue ? (issue.keys as string[]) : undefined;
}

/** The input as the schema gives it. Throws {@link InvalidInput}. */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw invalidInput(parsed.error.issues);
  return parsed.data;
}
