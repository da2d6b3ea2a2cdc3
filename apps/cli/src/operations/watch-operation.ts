/**
 * Follows one operation to its end over the event stream, through restarts of the manager. Owns reconnection.
 * Must not print but through the progress view.
 */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CommandContext } from '../context.js';
import { CliError, EXIT, Interrupted } from '../errors/cli-error.js';
import { isFinished } from '../output/operation-text.js';
import { BarProgress, LineProgress, SilentProgress, type ProgressView } from '../output/progress-view.js';

/** Seconds between attempts to reach a manager that went away, and for how long in all: the work itself goes on meanwhile. */
const RETRY_SECONDS = [1, 1, 2, 2, 5, 5, 10, 10, 15, 15, 30, 30, 30, 30, 30, 30, 30, 30];

/** The finished operation. Throws HOST_UNAVAILABLE when the manager stays away, Interrupted on Ctrl-C. */
export async function watchOperation(context: CommandContext, started: Operation): Promise<Operation> {
  const view = openView(context);
  let operation = started;
  let failures = 0;
  try {
    view.show(operation);
    while (!isFinished(operation)) {
      try {
        for await (const event of context.api.events(`/operations/${operation.id}/events`, String(operation.revision))) {
          if (event.event !== 'operation') continue;
          operation = JSON.parse(event.data) as Operation;
          failures = 0;
          view.show(operation);
        }
        if (!isFinished(operation)) operation = await context.api.get<Operation>(`/operations/${operation.id}`);
        if (!isFinished(operation)) failures = await pause(context, failures);
      } catch (error) {
        if (!(error instanceof CliError) || error.exitCode !== EXIT.unavailable || failures >= RETRY_SECONDS.length) throw error;
        if (failures === 0) view.note('The manager does not answer; the work goes on, trying again.');
        failures = await pause(context, failures);
      }
    }
    view.show(operation);
    return operation;
  } finally {
    view.close();
  }
}

async function pause(context: CommandContext, failures: number): Promise<number> {
  await context.io.sleep((RETRY_SECONDS[failures] ?? 30) * 1000);
  if (context.io.interrupted.aborted) throw new Interrupted();
  return failures + 1;
}

function openView(context: CommandContext): ProgressView {
  if (context.json) return new SilentProgress();
  if (context.io.terminal !== undefined) return new BarProgress(context.io.terminal);
  return new LineProgress((text) => context.io.err(text));
}
