/**
 * Errors of the command line, and what each means as an exit code. Owns the exit codes. Must not print.
 */
import { ERROR_CODES, isErrorCode, type ErrorCode } from '@holdfast/shared/errors/error-codes.js';
import type { Problem } from '@holdfast/shared/api/common.js';

/** What a script can decide by. Documented in `holdfast --help`. */
export const EXIT = {
  ok: 0,
  /** The work was started and failed, or a host, a storage or the manager refused it. */
  failed: 1,
  /** What was typed is wrong, or does not fit the state of things. */
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  /** Passes by itself: the same command may succeed later. */
  unavailable: 5,
  /** Ctrl-C; work that was started goes on. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** An error of the manager, or one that the command line found itself, with the same codes. */
export class CliError extends Error {
  override readonly name = 'CliError';

  constructor(
    readonly code: string,
    message: string,
    readonly details: { readonly fields?: Readonly<Record<string, string>>; readonly issues?: Problem['issues'] } = {},
  ) {
    super(message);
  }

  get exitCode(): ExitCode {
    return exitCodeOf(this.code);
  }
}

/** Thrown when the person pressed Ctrl-C. Work that was started goes on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode = EXIT.interrupted;
}

const NOT_ALLOWED: readonly ErrorCode[] = [
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'TOKEN_EXPIRED',
  'TOKEN_INVALID',
  'CERTIFICATE_REFUSED',
];

/** The exit code of an error code; a code that this version does not know counts as failed. */
export function exitCodeOf(code: string): ExitCode {
  if (!isErrorCode(code)) return EXIT.failed;
  if (code === 'NOT_FOUND') return EXIT.notFound;
  if (NOT_ALLOWED.includes(code)) return EXIT.notAllowed;
  const facts = ERROR_CODES[code];
  if (facts.retryable) return EXIT.unavailable;
  return facts.family === 'user-input' ? EXIT.usage : EXIT.failed;
}
