/** Breakpoints by files, for crash tests: see the port for the names. Active only when HOLDFAST_BREAKPOINTS names a directory. */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Breakpoints } from './breakpoints.js';

const POLL_MS = 20;

export class FileBreakpoints implements Breakpoints {
  constructor(private readonly directory: string) {}

  async reached(step: string, subject: string, phase: 'before' | 'after'): Promise<void> {
    const file = join(this.directory, `${step}.${subject === '' ? 'vm' : subject.replaceAll('/', '_')}.${phase}`);
    if (!(await exists(file))) return;
    await writeFile(`${file}.reached`, '');
    while (await exists(file)) await sleep(POLL_MS);
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
