/**
 * The one error class of Holdfast. Owns code, ids as fields, and the plain-data form that crosses process borders.
 * Must not know about HTTP or gRPC libraries.
 */
import { ERROR_CODES, isErrorCode, type ErrorCode, type ErrorCodeFacts } from './error-codes.js';

/** Ids and facts of an error, for machines: `{ vmId, path, … }`. Never secrets. */
export type ErrorFields = Readonly<Record<string, string>>;

/** An error as plain data, for journals, rows and wires. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly fields: ErrorFields;
}

/**
 * Thrown for everything that Holdfast can name. `message` is a whole sentence for people: it names the thing and
 * the way out. Callers decide by `code` (or its facts), never by `message`.
 */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly fields: ErrorFields = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  get facts(): ErrorCodeFacts {
    return ERROR_CODES[this.code];
  }

  get retryable(): boolean {
    return this.facts.retryable;
  }

  toData(): ErrorData {
    return { code: this.code, message: this.message, fields: this.fields };
  }

  /** Rebuilds an error from another process. A code of another version becomes BUG, with the code kept as a field. */
  static fromData(data: { code: string; message: string; fields?: Record<string, string> }): HoldfastError {
    if (isErrorCode(data.code)) return new HoldfastError(data.code, data.message, data.fields ?? {});
    return new HoldfastError('BUG', data.message, { ...data.fields, unknownCode: data.code });
  }

  /** Any thrown value as a HoldfastError: ours unchanged, others as BUG with the cause kept. */
  static from(thrown: unknown): HoldfastError {
    if (thrown instanceof HoldfastError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new HoldfastError('BUG', `Unexpected error: ${message}`, {}, { cause: thrown });
  }
}

/** Closes a switch over a union: a case that was forgotten does not compile. */
export function assertNever(value: never, what = 'value'): never {
  throw new HoldfastError('BUG', `Unhandled ${what}: ${JSON.stringify(value)}`);
}
