/** How a case stops an operation of a bench and hurts what it works with. Owns breakpoints and blows, no order and no check. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Breakpoint } from '../system/breakpoints.js';
import { whyOver } from '../system/operations.js';
import { waitUntil } from '../testbed/wait-until.js';
import type { CrashBench } from './crash-bench.js';
import type { StepName } from './crash-case.js';

const CANCEL_MS = 500;

export class Strikes {
  constructor(private readonly bench: CrashBench) {}

  async setBreakpoint({ step, subject, phase }: StepName & { phase: 'before' | 'after' }): Promise<Breakpoint> {
    const breakpoint = { step, subject: this.bench.concrete(subject), phase };
    await this.bench.stack.first.agent.breakpoints.set(breakpoint);
    return breakpoint;
  }

  /** True when the operation stands at the breakpoint; false when it ended without coming there. */
  async waitForBreakpointOrEnd(breakpoint: Breakpoint, operationId: string): Promise<boolean> {
    let ended = false;
    try {
      await this.bench.stack.first.agent.breakpoints.reached(breakpoint, async () => {
        const why = await whyOver(this.bench.stack.api, operationId);
        ended = why !== undefined;
        return why;
      });
      return true;
    } catch (error) {
      if (ended) return false;
      throw error;
    }
  }

  /** Begins an operation and lets it come to a step, where it waits until `goOn`. Throws when it ends without coming there. */
  async standAt(
    at: StepName & { phase: 'before' | 'after' },
    begin: () => Promise<string>,
  ): Promise<{ readonly operationId: string; readonly goOn: () => Promise<void> }> {
    const breakpoint = await this.setBreakpoint(at);
    const operationId = await begin();
    if (!(await this.waitForBreakpointOrEnd(breakpoint, operationId)))
      throw new Error(`the operation ended without coming to ${at.step} (${at.phase})`);
    return { operationId, goOn: () => this.clearBreakpoint(breakpoint) };
  }

  /** Begins an operation and has it cancelled while it stands before a step; from there it goes its way back. */
  async cancelBefore(step: StepName, begin: () => Promise<string>): Promise<string> {
    const { operationId, goOn } = await this.standAt({ ...step, phase: 'before' }, begin);
    await this.bench.stack.api.post(`/operations/${operationId}/actions/cancel`);
    // The agent hears of it from the manager.
    await sleep(CANCEL_MS);
    await goOn();
    return operationId;
  }

  async clearBreakpoint(breakpoint: Breakpoint): Promise<void> {
    await this.bench.stack.first.agent.breakpoints.release(breakpoint);
  }

  /** Kills the next process of that program that works on the host, for as long as the operation may still start one. */
  async killNext(tool: string): Promise<boolean> {
    try {
      return await waitUntil(
        `a ${tool} runs`,
        async () => {
          const found = (await this.bench.host.processes()).find(
            ({ argv }) => argv[0]?.split('/').at(-1) === tool && !staysForEver(argv),
          );
          if (found === undefined) return undefined;
          await this.bench.host.killProcess(found.pid).catch(() => undefined);
          return true;
        },
        { timeoutMs: 1_500, intervalMs: 1 },
      );
    } catch {
      return false;
    }
  }

  /** Kills the process that the agent keeps for looks at files. */
  async killLooking(): Promise<void> {
    // One that was killed a moment ago comes back with the agent's next question.
    const { pid } = await waitUntil('the agent has a process that looks at files', async () =>
      (await this.bench.host.processes()).find(({ argv }) => argv.at(-1)?.endsWith('/kept-looks-main.js') === true),
    );
    await this.bench.host.killProcess(pid);
  }

  /** A file that is open for writing forbids the remount; whatever writes ends soon. */
  async remountReadOnly(): Promise<void> {
    await waitUntil('the storage is read-only', async () => {
      await this.bench.storage.remountReadOnly();
      return true;
    });
  }

  /** While a secondary storage hangs, the guest must not notice. */
  async demandLivingGuest(): Promise<void> {
    if ((await this.bench.vm.domstate()) !== 'running') return;
    await this.bench.vm.mustShell('true', 60_000);
  }

  /** The request of an operation as the agent's own journal keeps it. */
  async agentRequest(operationId: string): Promise<{ volumes: { target: string; newDeltaPath: string }[] }> {
    const file = join(this.bench.stack.first.agent.stateDir, 'operations', operationId, 'request.json');
    const { request } = JSON.parse(await readFile(file, 'utf8')) as {
      request: { volumes: { target: string; newDeltaPath: string }[] };
    };
    return request;
  }
}

/** A virsh that waits for events or questions: its death ends no call of an operation. */
function staysForEver([program, ...words]: readonly string[]): boolean {
  return program?.split('/').at(-1) === 'virsh' && (words.includes('event') || words.at(-2) === '-c');
}
