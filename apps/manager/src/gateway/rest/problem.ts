/** Errors as RFC 9457 problem details. Pure. */
import type { Problem } from '@holdfast/shared/api/common.js';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { InvalidInput } from '../errors/invalid-input.js';

export const PROBLEM_TYPE = 'application/problem+json';

/** `instance`: the path of the request, without its query (which may hold names). */
export function problemOf(error: HoldfastError, instance: string): Problem {
  const words = error.code.toLowerCase().split('_');
  return {
    type: `urn:holdfast:error:${words.join('-')}`,
    title: words.join(' '),
    status: error.facts.http,
    detail: error.message,
    instance,
    code: error.code,
    retryable: error.retryable,
    fields: { ...error.fields },
    ...(error instanceof InvalidInput ? { issues: [...error.issues] } : {}),
  };
}
