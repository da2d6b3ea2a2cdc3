/** A manager in memory for tests: answers fetch from a table of routes, and keeps what was asked. */
import type { CliIo } from '../cli-io.js';
import { runCli } from '../program.js';

export interface Asked {
  readonly method: string;
  /** Path below /api/v1, with its query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** `METHOD /path` → what it answers. The query counts only when a route names one. Several answers are given one after another. */
export type Routes = Readonly<Record<string, Response | (() => Response) | (() => Response)[]>>;

export function json(body: unknown, status = 200): () => Response {
  return () => new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}

export function problem(status: number, code: string, detail: string, issues?: object[]): () => Response {
  const body = { type: 'urn:x', title: 'x', status, detail, code, retryable: false, fields: {}, issues };
  return () => new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/problem+json' } });
}

export function page(...items: unknown[]): () => Response {
  return json({ items });
}

/** An event stream of operations that then ends. */
export function events(...operations: { revision: number }[]): () => Response {
  const text = operations
    .map((one) => `: still here\n\nid: ${one.revision}\nevent: operation\ndata: ${JSON.stringify(one)}\n\n`)
    .join('');
  return () => new Response(text, { headers: { 'content-type': 'text/event-stream' } });
}

export interface CliRun {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
  readonly asked: readonly Asked[];
}

/** Runs `holdfast <argv>` against the routes. `answer`: of the person at the terminal, when there is one. */
export async function runWith(
  routes: Routes,
  argv: readonly string[],
  env: Record<string, string> = { HOLDFAST_URL: 'https://m.example', HOLDFAST_API_KEY: 'k' },
  answer?: string,
): Promise<CliRun> {
  const asked: Asked[] = [];
  const used = new Map<string, number>();
  const answerOf = (method: string, path: string): Response => {
    const key = [`${method} ${path}`, `${method} ${path.split('?')[0]}`].find((one) => routes[one] !== undefined);
    const route = key === undefined ? undefined : routes[key];
    if (key === undefined || route === undefined) return problem(404, 'NOT_FOUND', `no route ${method} ${path}`)();
    const turn = used.get(key) ?? 0;
    used.set(key, turn + 1);
    if (route instanceof Response) return route;
    const chosen = Array.isArray(route) ? (route[turn] ?? route.at(-1)) : route;
    if (chosen === undefined) throw new Error(`no answer for ${key}`);
    return chosen();
  };
  let out = '';
  let err = '';
  const io: CliIo = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    terminal: undefined,
    ask: (question) => {
      if (answer !== undefined) err += question;
      return Promise.resolve(answer);
    },
    env,
    homeDirectory: '/nonexistent',
    fetch: (input, init) => {
      const url = new URL(String(input));
      const path = url.pathname.replace(/^\/api\/v1/, '') + url.search;
      const method = init?.method ?? 'GET';
      asked.push({
        method,
        path,
        headers: new Headers(init?.headers),
        body: init?.body === undefined ? undefined : JSON.parse(String(init.body)),
      });
      try {
        return Promise.resolve(answerOf(method, path));
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
    },
    trustCa: () => Promise.resolve(),
    sleep: () => Promise.resolve(),
    interrupted: new AbortController().signal,
  };
  const exitCode = await runCli(argv, io);
  return { exitCode, out, err, asked };
}

/** A connection that breaks, as fetch reports it. */
export function broken(code = 'ECONNREFUSED'): () => Response {
  return () => {
    throw new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) });
  };
}
