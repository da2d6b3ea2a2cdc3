/** One path: what is there, or that nothing is. Owns that what comes between two looks is seen. */
import { demandAbsent } from './demand-absent.js';
import type { FileFacts, FileLooks } from './file-looks.js';

/** The facts of a path. Undefined when it is not there. TOOL_FAILED {tool, path} when neither can be said. */
export function factsOrAbsent(looks: FileLooks, path: string): Promise<FileFacts | undefined> {
  return foundOrAbsent(looks, path, async () => (await looks.facts([path])).get(path));
}

/** The names in a directory, as `factsOrAbsent`. */
export function namesOrAbsent(looks: FileLooks, path: string): Promise<string[] | undefined> {
  return foundOrAbsent(looks, path, () => looks.names(path));
}

async function foundOrAbsent<T>(looks: FileLooks, path: string, ask: () => Promise<T | undefined>): Promise<T | undefined> {
  const found = await ask();
  if (found !== undefined || (await looks.isAbsent(path))) return found;
  // Not found, but listed: it was made, or its storage came back, after it had been looked for.
  const again = await ask();
  if (again === undefined) await demandAbsent(looks, path);
  return again;
}
