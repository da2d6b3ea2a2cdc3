/** Refuses bodies that are not JSON, before anything parses them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { InvalidInput } from '../errors/invalid-input.js';

/** Express middleware. */
export function jsonOnly(request: IncomingMessage, _response: ServerResponse, next: (error?: unknown) => void): void {
  const length = request.headers['content-length'];
  const hasBody = request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (!hasBody || type === 'application/json') next();
  else next(new InvalidInput([{ path: 'Content-Type', message: 'bodies are JSON: send application/json' }]));
}
