/** Is a path without facts really not there? Owns that error. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { FileLooks } from './file-looks.js';

/** TOOL_FAILED for one that may be there all the same. */
export async function demandAbsent(looks: FileLooks, path: string): Promise<void> {
  if (await looks.isAbsent(path)) return;
  // What was made a moment ago is there as well, and is seen at the next look.
  throw new HoldfastError('TOOL_FAILED', `${path} may be there, but cannot be looked at. Look at its storage.`, {
    tool: 'find',
    path,
  });
}
