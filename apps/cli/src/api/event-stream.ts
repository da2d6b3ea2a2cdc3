/**
 * Reads server-sent events out of a stream of text. Pure parsing: must not connect, wait or decide what an event means.
 */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
  /** Last id seen on the stream. */
  readonly id: string | undefined;
}

/** Events of a `text/event-stream`, as they come. Comments (heartbeats) are swallowed; an event cut off at the end is dropped. */
export async function* readServerEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let rest = '';
  let event = 'message';
  let data: string[] = [];
  let id: string | undefined;
  for await (const chunk of chunks) {
    rest += chunk;
    // A carriage return at the very end may be half of a line end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield { event, data: data.join('\n'), id };
        event = 'message';
        data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') event = value;
      else if (field === 'data') data.push(value);
      else if (field === 'id') id = value;
    }
  }
}
