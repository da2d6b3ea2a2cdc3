/** Reading the logs of programs under test when something went wrong. */
import { readFile } from 'node:fs/promises';

/** The last `lines` lines of a file; says so when there is none. */
export async function logTail(file: string, lines = 40): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return `(${file} does not exist)`;
  const all = text.trimEnd().split('\n');
  return all.slice(-lines).join('\n');
}
