/** What an agent answered with an error, as our own. Owns the mapping of gRPC failures to codes. */
import { status, type ServiceError } from '@grpc/grpc-js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { ERROR_METADATA_KEY, fromWireError } from '@holdfast/shared/wire/grpc-error.js';

/** The host that was called, for messages. */
export interface CalledHost {
  readonly id: string;
  readonly name: string;
  readonly address: string;
}

/** True for errors that say nothing about what the agent did or will do: the call may have arrived or not. */
export function isUncertain(error: HoldfastError): boolean {
  return error.code === 'HOST_UNAVAILABLE' || error.code === 'CERTIFICATE_REFUSED';
}

export function fromServiceError(error: ServiceError, host: CalledHost): HoldfastError {
  const own = ownError(error);
  if (own !== undefined) return own;
  const fields = { hostId: host.id, host: host.name, address: host.address };
  const reason = error.details === '' ? error.message : error.details;
  switch (error.code) {
    case status.UNIMPLEMENTED:
      return new HoldfastError(
        'VERSION_MISMATCH',
        `The agent on host "${host.name}" does not know this call (${reason}). Install the same version of Holdfast on host and manager.`,
        fields,
        { cause: error },
      );
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return new HoldfastError(
        'CERTIFICATE_REFUSED',
        `The agent on host "${host.name}" refused the manager's certificate (${reason}). Let the host join again.`,
        fields,
        { cause: error },
      );
    case status.INVALID_ARGUMENT:
    case status.FAILED_PRECONDITION:
    case status.NOT_FOUND:
      return new HoldfastError(
        'BUG',
        `The agent on host "${host.name}" refused a call in a way that this manager does not understand: ${reason}`,
        fields,
        { cause: error },
      );
    default:
      return new HoldfastError(
        'HOST_UNAVAILABLE',
        `The host "${host.name}" (${host.address}) does not answer: ${reason}. Start its agent or mend the network.`,
        fields,
        { cause: error },
      );
  }
}

function ownError(error: ServiceError): HoldfastError | undefined {
  const value = error.metadata?.get(ERROR_METADATA_KEY)[0];
  return value === undefined ? undefined : fromWireError(Buffer.from(value));
}
