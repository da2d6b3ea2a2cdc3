/** Writes server-sent events of one operation to one response. Owns the heartbeat and the end. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Operation } from '@holdfast/shared/api/operations.js';

/** A comment at least so often, so that proxies and readers see that the stream lives. */
const HEARTBEAT_MS = 15_000;

/** The revision that a reader has seen, from `Last-Event-ID`; -1 when it has seen none. */
export function lastSeenRevision(request: IncomingMessage): number {
  const header = request.headers['last-event-id'];
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : -1;
}

/** Fires when the reader of a response leaves, at once when it has left already: it may, while its key is still looked up. */
export function leavingOf(response: ServerResponse): AbortSignal {
  const left = new AbortController();
  if (response.destroyed) left.abort();
  else response.once('close', () => left.abort());
  return left.signal;
}

/**
 * Sends each operation that is newer than `seen` as event `operation` with its revision as id, then ends the stream.
 * A reader that is slow gets fewer, newer states. `signal` must end `operations`.
 */
export async function streamOperations(
  response: ServerResponse,
  operations: AsyncIterable<Operation>,
  seen: number,
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const heartbeat = setInterval(() => response.write(': still here\n\n'), HEARTBEAT_MS);
  try {
    for await (const operation of operations) {
      if (operation.revision <= seen) continue;
      const room = response.write(`id: ${operation.revision}\nevent: operation\ndata: ${JSON.stringify(operation)}\n\n`);
      // What is written to a response that was left finds no room, and none is ever made.
      if (!room && !response.destroyed) await once(response, 'drain', { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}
