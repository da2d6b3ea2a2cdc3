/** Refuses paths outside of what this server has, which the framework would answer with a page of its own. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { answerProblem, pathOf } from './answer-problem.js';
import { API_PREFIX } from './api-prefix.js';

/** Where the documentation is, without slashes at its ends. */
export const DOCS_PATH = 'api/docs';

export function noSuchRoute(what: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `There is no such route: ${what}. /${DOCS_PATH} lists them.`);
}

/** Express middleware. */
export function knownPlaces(request: IncomingMessage, response: ServerResponse, next: () => void): void {
  const path = pathOf(request);
  if (path === '/healthz' || path.startsWith(`/${API_PREFIX}/`) || path.startsWith(`/${DOCS_PATH}`)) next();
  else answerProblem(request, response, noSuchRoute(`${request.method ?? ''} ${path}`));
}
