/** Writes an error as the whole answer of a request. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { problemOf, PROBLEM_TYPE } from './problem.js';

/** The path that was asked for, without its query. */
export function pathOf(request: IncomingMessage & { originalUrl?: string }): string {
  return (request.originalUrl ?? request.url ?? '').split('?')[0] ?? '';
}

export function answerProblem(request: IncomingMessage, response: ServerResponse, error: HoldfastError): void {
  const { http } = error.facts;
  response.statusCode = http;
  response.setHeader('content-type', PROBLEM_TYPE);
  response.setHeader('cache-control', 'no-store');
  if (http === 401) response.setHeader('www-authenticate', 'Bearer realm="holdfast"');
  if (http === 503) response.setHeader('retry-after', '5');
  response.end(JSON.stringify(problemOf(error, pathOf(request))));
}
