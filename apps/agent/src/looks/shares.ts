/** Many paths, in parts that one question can hold. Owns how many these are. Pure. */

/** Keeps the command line of a process that is asked far below the kernel's limit. */
const SHARE = 500;

/** The paths in order, at most 500 at a time. */
export function* shares(paths: readonly string[]): Generator<readonly string[]> {
  for (let start = 0; start < paths.length; start += SHARE) yield paths.slice(start, start + SHARE);
}
