/**
 * The REST API over fetch: addresses, key, JSON, pages, problem details to CliError. Speaks only /api/v1.
 * Must not print, and must not know what a resource means.
 */
import { randomUUID } from 'node:crypto';
import type { Page, Problem } from '@holdfast/shared/api/common.js';
import { CliError, Interrupted } from '../errors/cli-error.js';
import { causeOf, messageOf, systemCode } from '../errors/system-error.js';
import { readServerEvents, type ServerEvent } from './event-stream.js';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ApiClientOptions {
  /** Of the manager, without /api/v1. */
  readonly url: string;
  readonly key: string;
  readonly fetch: typeof globalThis.fetch;
  /** Aborted: calls and streams end with Interrupted. */
  readonly signal: AbortSignal;
}

/** Answers are taken to be what the API documents; errors are thrown as CliError with the manager's code. */
export class ApiClient {
  private readonly base: string;

  constructor(private readonly options: ApiClientOptions) {
    this.base = `${options.url.replace(/\/+$/, '')}/api/v1`;
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.call<T>('GET', path, { query });
  }

  /** Every POST carries a key of its own, so that a repetition on the way never acts twice. */
  post<T>(path: string, body: object = {}): Promise<T> {
    return this.call<T>('POST', path, { body, headers: { 'idempotency-key': randomUUID() } });
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.call<T>('PUT', path, { body });
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.call<T>('PATCH', path, { body });
  }

  /** undefined: there was nothing to answer (204). */
  delete<T = undefined>(path: string): Promise<T> {
    return this.call<T>('DELETE', path, {});
  }

  /** All items of a list, page by page; at most `most`. */
  async list<T>(path: string, query: Query = {}, most = Number.POSITIVE_INFINITY): Promise<T[]> {
    const items: T[] = [];
    let after: string | undefined;
    do {
      const page: Page<T> = await this.get(path, { ...query, limit: Math.min(1000, most - items.length), after });
      items.push(...page.items);
      after = page.next;
    } while (after !== undefined && items.length < most);
    return items;
  }

  /** An event stream until its end. `lastEventId`: only what is newer. */
  async *events(path: string, lastEventId: string | undefined): AsyncGenerator<ServerEvent> {
    const headers: Record<string, string> = { accept: 'text/event-stream' };
    if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
    const response = await this.send('GET', path, { headers });
    // Finished, and everything was seen.
    if (response.status === 204) return;
    if (!response.ok || response.body === null) throw await this.problemOf(response);
    try {
      yield* readServerEvents(response.body.pipeThrough(new TextDecoderStream()));
    } catch (error) {
      throw this.unreachable(error);
    }
  }

  private async call<T>(method: string, path: string, request: SendRequest): Promise<T> {
    const response = await this.send(method, path, request);
    if (!response.ok) throw await this.problemOf(response);
    if (response.status === 204) return undefined as T;
    return (await this.json(response)) as T;
  }

  private async send(method: string, path: string, request: SendRequest): Promise<Response> {
    const url = new URL(this.base + path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers: Record<string, string> = {
      authorization: `Bearer ${this.options.key}`,
      accept: 'application/json',
      ...request.headers,
    };
    if (request.body !== undefined) headers['content-type'] = 'application/json';
    try {
      return await this.options.fetch(url, {
        method,
        headers,
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        signal: this.options.signal,
      });
    } catch (error) {
      throw this.unreachable(error);
    }
  }

  private async json(response: Response): Promise<unknown> {
    const type = response.headers.get('content-type') ?? '';
    const text = await response.text().catch((error: unknown) => {
      throw this.unreachable(error);
    });
    if (/^application\/([\w.-]+\+)?json\b/.test(type)) {
      try {
        return JSON.parse(text);
      } catch {
        // Cut short, or not what it says: named below.
      }
    }
    throw new CliError(
      'CONFIGURATION_INVALID',
      `${this.options.url} does not answer like a Holdfast manager (${response.status}, ${type || 'no content type'}). Check --url or HOLDFAST_URL.`,
    );
  }

  private async problemOf(response: Response): Promise<CliError> {
    const problem = (await this.json(response)) as Partial<Problem>;
    return new CliError(problem.code ?? 'BUG', problem.detail ?? `The manager answered ${response.status}.`, {
      fields: problem.fields ?? {},
      issues: problem.issues,
    });
  }

  private unreachable(error: unknown): CliError | Interrupted {
    if (this.options.signal.aborted) return new Interrupted();
    const url = this.options.url;
    const cause = causeOf(error);
    const code = systemCode(cause) ?? '';
    if (code.includes('CERT') || code.includes('SELF_SIGNED') || code.includes('UNABLE_TO_')) {
      return new CliError(
        'CERTIFICATE_REFUSED',
        `The certificate of ${url} is not trusted (${code}). Give the manager's CA certificate with --ca-file or HOLDFAST_CA_FILE.`,
      );
    }
    const reason = code || messageOf(cause);
    return new CliError(
      'HOST_UNAVAILABLE',
      `The manager at ${url} does not answer (${reason}). Check that it runs, and --url or HOLDFAST_URL.`,
    );
  }
}

interface SendRequest {
  readonly query?: Query;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}
