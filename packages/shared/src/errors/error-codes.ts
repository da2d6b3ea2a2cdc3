/**
 * Every error code of Holdfast once, with its family and how REST and gRPC say it.
 * Owns the one table that gateways, agent and CLI decide by. Must not hold texts: messages are made where the facts are.
 */

/** Who has to act: the caller, nobody (try again), the host or storage's keeper, or Holdfast's makers. */
export type ErrorFamily = 'user-input' | 'transient' | 'refused' | 'bug';

/** What a code means to callers. `http` and `grpc` are the status numbers of the two doors. */
export interface ErrorCodeFacts {
  readonly family: ErrorFamily;
  /** True when the same call, unchanged, may succeed later without anybody mending anything. */
  readonly retryable: boolean;
  readonly http: number;
  /** Number of grpc.status. */
  readonly grpc: number;
}

const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const FAILED_PRECONDITION = 9;
const ABORTED = 10;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const DATA_LOSS = 15;
const UNAUTHENTICATED = 16;
const CANCELLED = 1;

const user = (http: number, grpc: number): ErrorCodeFacts => ({ family: 'user-input', retryable: false, http, grpc });
const refused = (http: number, grpc: number): ErrorCodeFacts => ({ family: 'refused', retryable: false, http, grpc });
const transient = (http: number, grpc: number): ErrorCodeFacts => ({ family: 'transient', retryable: true, http, grpc });

export const ERROR_CODES = {
  // What a caller may get wrong.
  INVALID_INPUT: user(400, INVALID_ARGUMENT),
  UNAUTHENTICATED: user(401, UNAUTHENTICATED),
  FORBIDDEN: user(403, PERMISSION_DENIED),
  NOT_FOUND: user(404, NOT_FOUND),
  NAME_TAKEN: user(409, ALREADY_EXISTS),
  IN_USE: user(409, FAILED_PRECONDITION),
  WRONG_STATE: user(409, FAILED_PRECONDITION),
  IDEMPOTENCY_KEY_REUSED: user(422, INVALID_ARGUMENT),
  OPERATION_ID_REUSED: user(409, ALREADY_EXISTS),
  TOKEN_EXPIRED: user(401, UNAUTHENTICATED),
  TOKEN_INVALID: user(401, UNAUTHENTICATED),
  NO_OFFERING: user(409, FAILED_PRECONDITION),
  VM_RUNNING: user(409, FAILED_PRECONDITION),
  VM_HAS_SNAPSHOTS: user(409, FAILED_PRECONDITION),
  GUEST_AGENT_MISSING: user(409, FAILED_PRECONDITION),
  CANCELLED: user(409, CANCELLED),
  CONFIGURATION_INVALID: user(400, INVALID_ARGUMENT),

  // Passes by itself.
  VM_BUSY: transient(409, ABORTED),
  REQUEST_IN_PROGRESS: transient(409, ABORTED),
  PLAN_OUTDATED: transient(409, ABORTED),
  HOST_UNAVAILABLE: transient(503, UNAVAILABLE),
  HYPERVISOR_UNAVAILABLE: transient(503, UNAVAILABLE),
  STORAGE_HANGING: transient(503, UNAVAILABLE),
  RUN_MISSED: transient(503, UNAVAILABLE),
  TIMED_OUT: transient(504, DEADLINE_EXCEEDED),
  FENCED: transient(409, ABORTED),
  INTERRUPTED: transient(503, ABORTED),
  TOOL_FAILED: transient(502, ABORTED),
  FREEZE_FAILED: transient(502, ABORTED),

  // A host, a storage or a VM says no; somebody has to mend it there.
  STORAGE_FULL: refused(507, RESOURCE_EXHAUSTED),
  PRIMARY_FULL: refused(507, RESOURCE_EXHAUSTED),
  STORAGE_READ_ONLY: refused(409, FAILED_PRECONDITION),
  STORAGE_MISSING: refused(409, FAILED_PRECONDITION),
  STORAGE_NOT_OURS: refused(409, FAILED_PRECONDITION),
  STORAGE_NOT_EMPTY: refused(409, FAILED_PRECONDITION),
  DISK_UNSUPPORTED: refused(422, FAILED_PRECONDITION),
  BACKING_FILE_MISSING: refused(409, FAILED_PRECONDITION),
  PATH_OUTSIDE_POOLS: refused(422, FAILED_PRECONDITION),
  IMAGE_LOCKED: refused(409, FAILED_PRECONDITION),
  DEFINITION_DRIFT: refused(409, FAILED_PRECONDITION),
  HYPERVISOR_OUT_OF_STEP: refused(409, FAILED_PRECONDITION),
  ORPHANED_QEMU: refused(409, FAILED_PRECONDITION),
  CHAIN_UNEXPLAINED: refused(409, FAILED_PRECONDITION),
  BACKUP_DAMAGED: refused(409, DATA_LOSS),
  VERSION_MISMATCH: refused(409, FAILED_PRECONDITION),
  CERTIFICATE_REFUSED: refused(403, PERMISSION_DENIED),
  FILE_IN_USE: refused(409, FAILED_PRECONDITION),

  // Ours.
  BUG: { family: 'bug', retryable: false, http: 500, grpc: INTERNAL },
} as const satisfies Record<string, ErrorCodeFacts>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** True for a string that is one of our codes (wire data may come from another version). */
export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERROR_CODES, value);
}
