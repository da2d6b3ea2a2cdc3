/** Calls a REST door as a test wants it, without hiding anything. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed JSON; undefined when there is none. */
  readonly body: Record<string, unknown>;
}

export interface RestRequest {
  readonly key?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class RestClient {
  constructor(private readonly url: string) {}

  async call(method: string, path: string, request: RestRequest = {}): Promise<RestAnswer> {
    const response = await this.open(method, path, request);
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: (isJson ? JSON.parse(text) : undefined) as Record<string, unknown>,
    };
  }

  /** The answer with its body still to be read. `path` begins at the root of the server. */
  open(method: string, path: string, request: RestRequest = {}): Promise<Response> {
    const headers: Record<string, string> = { ...(request.key === undefined ? {} : { authorization: `Bearer ${request.key}` }) };
    const body = request.raw ?? (request.body === undefined ? undefined : JSON.stringify(request.body));
    if (body !== undefined) headers['content-type'] = 'application/json';
    return fetch(this.url + path, {
      method,
      headers: { ...headers, ...request.headers },
      ...(body === undefined ? {} : { body }),
    });
  }
}
