/** Where the built programs of this repository are. Owns no process. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the repository, whether this file runs from its source or compiled. */
export const repositoryRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

/** The programs as an operator runs them. */
export const programs = {
  manager: join(repositoryRoot, 'apps/manager/dist/main.js'),
  agent: join(repositoryRoot, 'apps/agent/dist/main.js'),
  cli: join(repositoryRoot, 'apps/cli/dist/main.js'),
  restoreScript: join(repositoryRoot, 'deploy/holdfast-restore.sh'),
} as const;

/** Command line of a program, with the options of Node that its installed launcher has. */
export function commandOf(part: 'manager' | 'agent' | 'cli'): string[] {
  const text = readFileSync(join(repositoryRoot, 'apps', part, 'package.json'), 'utf8');
  const { config } = JSON.parse(text) as { config: { nodeOptions: string } };
  return [process.execPath, ...config.nodeOptions.split(' '), programs[part]];
}

function findRoot(from: string): string {
  let folder = from;
  while (!existsSync(join(folder, 'pnpm-workspace.yaml'))) {
    if (dirname(folder) === folder) throw new Error(`${from} is not inside the repository`);
    folder = dirname(folder);
  }
  return folder;
}
