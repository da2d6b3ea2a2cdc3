/** Answers every error of REST as problem details, and logs those that are ours. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { Logger } from '../../events/logger.js';
import { toHoldfastError } from '../errors/to-holdfast-error.js';
import { problemOf, PROBLEM_TYPE } from './problem.js';

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<IncomingMessage & { originalUrl?: string }>();
    const response = host.switchToHttp().getResponse<ServerResponse>();
    const path = (request.originalUrl ?? request.url ?? '').split('?')[0] ?? '';
    const reference = randomUUID();
    const error = toHoldfastError(thrown, reference);
    if (error.code === 'BUG') {
      const reason = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
      this.logger.error('request failed', { reference, method: request.method, path, reason });
    }
    // A stream that has begun cannot become a problem any more: its end says that something happened.
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const body = JSON.stringify(problemOf(error, path));
    response.statusCode = error.facts.http;
    response.setHeader('content-type', PROBLEM_TYPE);
    response.setHeader('cache-control', 'no-store');
    if (error.facts.http === 401) response.setHeader('www-authenticate', 'Bearer realm="holdfast"');
    if (error.facts.http === 503) response.setHeader('retry-after', '5');
    response.end(body);
  }
}
