/**
 * Why did work on a storage fail? A tool's words are no evidence; the storage itself is looked at. Owns that look.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { IDENTITY_FILE } from '@holdfast/shared/manifest/paths.js';
import { formatBytes } from '@holdfast/shared/units/bytes.js';
import type { CommandPorts } from '../ports.js';

/** Below this a failure to write is blamed on the space. */
const FULL_BELOW_BYTES = 1n << 20n;

/** Where the failed work was going on. */
export interface FailurePlace {
  readonly kind: 'storage' | 'primary';
  /** Name for people. */
  readonly name: string;
  /** Root of the storage, or the folder on primary. */
  readonly path: string;
}

/**
 * The error itself, or a better one: STORAGE_HANGING when looking hangs, or a tool was late and the storage answers again;
 * STORAGE_MISSING, STORAGE_READ_ONLY, STORAGE_FULL / PRIMARY_FULL. Errors that are already precise stay, and so do those of a
 * tool that was late on a file that is not there.
 */
export async function explainStorageFailure(
  ports: Pick<CommandPorts, 'files'>,
  place: FailurePlace,
  thrown: unknown,
): Promise<HoldfastError> {
  const error = HoldfastError.from(thrown);
  if (error.code !== 'TOOL_FAILED' && error.code !== 'TIMED_OUT' && error.code !== 'NOT_FOUND') return error;
  const late = error.code === 'TIMED_OUT';
  if (late && error.fields['path']?.startsWith(`${place.path}/`) === false) return error;
  const fields = { ...error.fields, path: place.path };
  const what = place.kind === 'storage' ? `Secondary storage "${place.name}"` : `Primary storage at ${place.path}`;
  // A storage that was unmounted leaves an empty folder behind: its identity is what must be there.
  const evidence = place.kind === 'storage' ? join(place.path, IDENTITY_FILE) : place.path;
  try {
    if ((await ports.files.stat(evidence)) === undefined) {
      return new HoldfastError(
        'STORAGE_MISSING',
        `${what} is gone: ${evidence} does not exist. Bring it back, then try again.`,
        fields,
        { cause: error },
      );
    }
    const space = await ports.files.space(place.path);
    if (space.freeBytes < FULL_BELOW_BYTES) {
      return new HoldfastError(
        place.kind === 'storage' ? 'STORAGE_FULL' : 'PRIMARY_FULL',
        `${what} is full: ${formatBytes(space.freeBytes)} of ${formatBytes(space.totalBytes)} free. Make room, then try again.`,
        fields,
        { cause: error },
      );
    }
    if (await ports.files.isWritable(place.path)) {
      if (!late) return error;
      return new HoldfastError(
        'STORAGE_HANGING',
        `${what} did not answer in time, and does again: ${error.message} Try again.`,
        fields,
        { cause: error },
      );
    }
    return new HoldfastError(
      'STORAGE_READ_ONLY',
      `${what} cannot be written. Mount it writable or mend its permissions, then try again.`,
      fields,
      { cause: error },
    );
  } catch (lookFailure) {
    const code = HoldfastError.from(lookFailure).code;
    if (code === 'TIMED_OUT' || code === 'STORAGE_HANGING') {
      return new HoldfastError('STORAGE_HANGING', `${what} does not answer. Bring it back, then try again.`, fields, {
        cause: error,
      });
    }
    return error;
  }
}
