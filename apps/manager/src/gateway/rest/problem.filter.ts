/** Answers every error of REST as problem details, and logs those that are ours. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { Logger } from '../../events/logger.js';
import { toHoldfastError } from '../errors/to-holdfast-error.js';
import { answerProblem, pathOf } from './answer-problem.js';

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<IncomingMessage & { originalUrl?: string }>();
    const response = host.switchToHttp().getResponse<ServerResponse>();
    const path = pathOf(request);
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
    answerProblem(request, response, error);
  }
}
