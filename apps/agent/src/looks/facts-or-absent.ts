/** One path: what is there, or that nothing is. Owns that a name which comes between two looks is seen. */
import { demandAbsent } from './demand-absent.js';
import type { FileFacts, FileLooks } from './file-looks.js';

/** Undefined when it is not there. TOOL_FAILED {tool, path} when neither can be said. */
export async function factsOrAbsent(looks: FileLooks, path: string): Promise<FileFacts | undefined> {
  const ask = async (): Promise<FileFacts | undefined> => (await looks.facts([path])).get(path);
  const found = await ask();
  if (found !== undefined || (await looks.isAbsent(path))) return found;
  // Listed, but without facts: it was made, or its storage came back, after it had been looked for.
  const again = await ask();
  if (again === undefined) await demandAbsent(looks, path);
  return again;
}
