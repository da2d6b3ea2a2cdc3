/** Honours Idempotency-Key on every POST: acts once, and answers repetitions with what the first was answered. */
import { createHash } from 'node:crypto';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { InvalidInput } from '../../errors/invalid-input.js';
import type { AuthorizedRequest } from '../../access/route-access.js';
import { IdempotencyRecords, type RequestKey } from './idempotency-records.js';
import { openAnswer, sealAnswer } from './sealed-answer.js';

const HEADER = 'idempotency-key';

@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(private readonly records: IdempotencyRecords) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<AuthorizedRequest & { originalUrl: string; body: unknown }>();
    const key = request.headers[HEADER];
    if (request.method !== 'POST' || key === undefined) return next.handle();
    return from(this.once(request, String(key), () => lastValueFrom(next.handle(), { defaultValue: undefined })));
  }

  private async once(
    request: AuthorizedRequest & { originalUrl: string; body: unknown },
    key: string,
    act: () => Promise<unknown>,
  ): Promise<unknown> {
    if (key.length === 0 || key.length > 255)
      throw new InvalidInput([{ path: 'Idempotency-Key', message: 'it has 1 to 255 characters' }]);
    const secret = `${request.headers.authorization ?? ''}\n${key}`;
    const asked: RequestKey = {
      scope: request.caller?.apiKeyId ?? 'public',
      keyHash: sha256(key),
      requestHash: sha256(JSON.stringify([request.method, request.originalUrl, request.body ?? null])),
    };
    const { answer } = await this.records.claim(asked);
    if (answer !== undefined) return openAnswer(answer, secret);
    const letGo = this.records.keep(asked);
    let result: unknown;
    try {
      result = await act();
    } catch (error) {
      // What failed changed nothing: every changing call is one transaction.
      await this.records.release(asked);
      throw error;
    } finally {
      letGo();
    }
    await this.records.finish(asked, sealAnswer(result, secret));
    return result;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
