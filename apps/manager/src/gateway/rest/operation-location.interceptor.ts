/** Says in `Location` where the operation of a 202 answer is. */
import type { ServerResponse } from 'node:http';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { tap, type Observable } from 'rxjs';
import { API_PREFIX } from './api-prefix.js';

@Injectable()
export class OperationLocationInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const response = context.switchToHttp().getResponse<ServerResponse>();
    return next.handle().pipe(
      tap((answer: unknown) => {
        if (response.statusCode !== 202 || typeof answer !== 'object' || answer === null || !('id' in answer)) return;
        response.setHeader('location', `/${API_PREFIX}/operations/${String(answer.id)}`);
      }),
    );
  }
}
