/**
 * Any thrown value as an error for callers. Foreign errors are logged whole and answered without their text,
 * which may hold what callers must not see.
 */
import { HttpException } from '@nestjs/common';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

/** `reference` stands in the log beside a foreign error, so that an answer can be found there. */
export function toHoldfastError(thrown: unknown, reference: string): HoldfastError {
  if (thrown instanceof HoldfastError) {
    if (thrown.code !== 'BUG') return thrown;
  } else if (thrown instanceof HttpException) {
    return fromHttp(thrown.getStatus(), thrown.message, thrown);
  } else if (isClientError(thrown)) {
    return fromHttp(thrown.status, thrown.message, thrown);
  }
  if (isDatabaseAway(thrown))
    return new HoldfastError(
      'INTERRUPTED',
      'The database does not answer now. Try again in a moment.',
      { reference },
      { cause: thrown },
    );
  return new HoldfastError(
    'BUG',
    `Something went wrong inside the manager. Its log says what, under reference ${reference}.`,
    { reference },
    { cause: thrown },
  );
}

/** What Nest and the body parser throw before a route is reached. */
function fromHttp(status: number, message: string, cause: unknown): HoldfastError {
  if (status === 404 || status === 405)
    return new HoldfastError('NOT_FOUND', `There is no such route: ${message.replace(/^Cannot /, '')}. /api/docs lists them.`);
  if (status === 413) return new HoldfastError('INVALID_INPUT', 'The request body is too large.');
  return new HoldfastError('INVALID_INPUT', `The request cannot be read: ${message}`, {}, { cause });
}

/** The form of the body parser's errors: a status of the 400s, and a message that may be shown. */
function isClientError(thrown: unknown): thrown is { status: number; message: string } {
  if (typeof thrown !== 'object' || thrown === null || !('status' in thrown) || !('expose' in thrown) || !('message' in thrown))
    return false;
  return thrown.expose === true && typeof thrown.status === 'number' && thrown.status >= 400 && thrown.status < 500;
}

/** Connection refused or cut, server starting or ending, no connections left: by code, never by text. */
const DATABASE_AWAY = /^(ECONNREFUSED|ECONNRESET|EPIPE|08\w{3}|57P0[1-3]|53300)$/;

/** True for a failed query or connection that may succeed when the database is back. */
function isDatabaseAway(thrown: unknown): boolean {
  if (typeof thrown !== 'object' || thrown === null) return false;
  const driverError: unknown = 'driverError' in thrown ? thrown.driverError : thrown;
  if (typeof driverError !== 'object' || driverError === null || !('code' in driverError)) return false;
  return typeof driverError.code === 'string' && DATABASE_AWAY.test(driverError.code);
}
