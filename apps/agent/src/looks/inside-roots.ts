/** Is a file inside of the directories that the agent may touch? Owns that comparison; which these are is not decided here. */
import type { FileLooks } from './file-looks.js';

/** Resolving a root that may be a link. */
const ROOT_MS = 5_000;

/**
 * True when a resolved path is one of the roots or below one. A root may be a link itself: roots are resolved only when the
 * path is in none as they are written, each by itself, so that a root that hangs holds up only what is not elsewhere.
 */
export async function isInsideRoots(looks: FileLooks, real: string, roots: readonly string[]): Promise<boolean> {
  if (roots.some((root) => isInside(real, root))) return true;
  const inside = roots.map(async (root) => {
    const [resolved] = await looks.realPaths([root], ROOT_MS).catch(() => []);
    return resolved !== undefined && isInside(real, resolved);
  });
  return (await Promise.all(inside)).includes(true);
}

function isInside(path: string, root: string): boolean {
  return path === root || path.startsWith(root.endsWith('/') ? root : `${root}/`);
}
