/**
 * The public REST API for tests: HTTPS with the manager's own CA, a key, JSON, problem details as `ApiProblem`.
 * Owns no product code on purpose: what it sends is what the API documents.
 */
import { randomUUID } from 'node:crypto';
import { request } from 'node:https';
import type { Page, Problem } from '@holdfast/shared/api/common.js';

export interface RestAccess {
  readonly port: number;
  readonly key: string;
  readonly caPem: string;
}

/** An answer as it came. `body` is parsed JSON, or undefined when there was none. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

/** An error answer of the manager. */
export class ApiProblem extends Error {
  constructor(
    readonly call: string,
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(
      `${call} was answered ${status} ${problem.code}: ${problem.detail}${problem.issues ? ` ${JSON.stringify(problem.issues)}` : ''}`,
    );
  }

  get code(): Problem['code'] {
    return this.problem.code;
  }
}

type Query = Readonly<Record<string, string | number | undefined>>;

const answerWithinMs = 60_000;

export class RestClient {
  constructor(readonly access: RestAccess) {}

  /** The same manager asked by another key. */
  as(key: string): RestClient {
    return new RestClient({ ...this.access, key });
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.ask<T>('GET', path, undefined, query);
  }

  post<T>(path: string, body: object = {}, idempotencyKey: string = randomUUID()): Promise<T> {
    return this.ask<T>('POST', path, body, {}, { 'idempotency-key': idempotencyKey });
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.ask<T>('PUT', path, body);
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.ask<T>('PATCH', path, body);
  }

  delete<T = undefined>(path: string): Promise<T> {
    return this.ask<T>('DELETE', path);
  }

  /** All items of a paged list. */
  async list<T>(path: string, query: Query = {}): Promise<T[]> {
    const items: T[] = [];
    let after: string | undefined;
    do {
      const page: Page<T> = await this.get(path, { ...query, after });
      items.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    return items;
  }

  /** Sends one request and returns whatever came back; rejects only when nothing did. */
  send(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<RestAnswer> {
    const { port, key, caPem } = this.access;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port,
          method,
          path: `/api/v1${path}`,
          ca: caPem,
          // A killed manager leaves sockets behind that a pool would hand out again.
          agent: false,
          timeout: answerWithinMs,
          headers: {
            authorization: `Bearer ${key}`,
            ...(payload === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            const json = /json/.test(response.headers['content-type'] ?? '');
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: json && text !== '' ? JSON.parse(text) : undefined,
            });
          });
        },
      );
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${path} was not answered within ${answerWithinMs} ms`)));
      sent.on('error', reject);
      sent.end(payload);
    });
  }

  private async ask<T>(
    method: string,
    path: string,
    body?: object,
    query: Query = {},
    headers: Record<string, string> = {},
  ): Promise<T> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const full = parameters.size === 0 ? path : `${path}?${parameters.toString()}`;
    const answer = await this.send(method, full, body, headers);
    if (answer.status >= 400) throw new ApiProblem(`${method} ${full}`, answer.status, answer.body as Problem);
    return answer.body as T;
  }
}
