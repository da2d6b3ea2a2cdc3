/**
 * Stops an agent's operation before or after a journalled step, through the folder that HOLDFAST_BREAKPOINTS names.
 * Owns that folder alone; see apps/agent/src/operations/breakpoints.ts for the names.
 */
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../testbed/wait-until.js';

export type BreakpointPhase = 'before' | 'after';

export interface Breakpoint {
  readonly step: string;
  /** Volume key or target; empty: the whole VM. */
  readonly subject: string;
  readonly phase: BreakpointPhase;
}

/** Between two questions whether the operation will come there at all. */
const ASK_MS = 250;

export class BreakpointFolder {
  constructor(readonly directory: string) {}

  async create(): Promise<void> {
    await mkdir(this.directory, { recursive: true });
  }

  /** From now on the step stops there. */
  async set(at: Breakpoint): Promise<void> {
    await writeFile(this.file(at), '');
  }

  /** Waits until the operation stands there. `over` may report that it never will (the operation ended). */
  async reached(at: Breakpoint, over?: () => Promise<string | undefined>): Promise<void> {
    const what = `the agent stops ${at.phase} ${at.step} ${at.subject}`;
    let askedAt = Date.now();
    const outcome = await waitUntil(
      what,
      async () => {
        if (await exists(`${this.file(at)}.reached`)) return { stands: true };
        // A look at a file is cheap, a question to the manager is not.
        if (Date.now() - askedAt < ASK_MS) return undefined;
        askedAt = Date.now();
        const reason = await over?.();
        return reason === undefined ? undefined : { stands: false, reason };
      },
      { intervalMs: 20 },
    );
    if (!outcome.stands) throw new Error(`${what}: it never did, ${outcome.reason ?? ''}`);
  }

  /** Lets the operation go on. */
  async release(at: Breakpoint): Promise<void> {
    await rm(this.file(at), { force: true });
    await rm(`${this.file(at)}.reached`, { force: true });
  }

  /** Takes every breakpoint away. */
  async clear(): Promise<void> {
    for (const name of await readdir(this.directory).catch(() => [])) await rm(join(this.directory, name), { force: true });
  }

  private file({ step, subject, phase }: Breakpoint): string {
    return join(this.directory, `${step}.${subject === '' ? 'vm' : subject.replaceAll('/', '_')}.${phase}`);
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
