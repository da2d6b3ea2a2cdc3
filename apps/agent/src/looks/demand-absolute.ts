/** What may be given to a tool as a path. Pure. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

/** INVALID_INPUT: tools read other names than absolute ones as protocols or options. */
export function demandAbsolute(path: string): void {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new HoldfastError('INVALID_INPUT', `${JSON.stringify(path)} is not an absolute path.`, { path });
  }
}
