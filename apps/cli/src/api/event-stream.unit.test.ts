import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readServerEvents, type ServerEvent } from './event-stream.js';

async function read(chunks: readonly string[]): Promise<ServerEvent[]> {
  async function* source(): AsyncGenerator<string> {
    yield* await Promise.resolve(chunks);
  }
  const found: ServerEvent[] = [];
  for await (const event of readServerEvents(source())) found.push(event);
  return found;
}

const TEXT =
  ': still here\n\nid: 4\nevent: operation\ndata: {"a":1}\n\ndata: one\r\ndata: two\r\n\r\n: end\n\nid: 9\nevent: operation\ndata: cut';
const EVENTS = [
  { event: 'operation', data: '{"a":1}', id: '4' },
  { event: 'message', data: 'one\ntwo', id: '4' },
];

describe('server-sent events', () => {
  test('are read with ids and several data lines; heartbeats and a cut end are no events', async () => {
    expect(await read([TEXT])).toEqual(EVENTS);
  });

  test('are the same wherever the stream is cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: TEXT.length }), { maxLength: 8 }), async (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), TEXT.length];
        const chunks = places.slice(1).map((end, index) => TEXT.slice(places[index], end));
        expect(await read(chunks)).toEqual(EVENTS);
      }),
    );
  });
});
