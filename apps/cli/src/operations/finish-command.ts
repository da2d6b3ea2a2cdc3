/**
 * How a command that starts an operation ends: at once with the operation's id, or with --wait at the end of the work.
 */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CommandContext } from '../context.js';
import { CliError, EXIT, Interrupted } from '../errors/cli-error.js';
import { errorLine, printable } from '../output/text.js';
import { watchOperation } from './watch-operation.js';

/**
 * Prints what became of `operation`. `done`: the text for people when it succeeded. A failed or cancelled operation is
 * printed too and thrown as OperationFailed (exit code 1).
 */
export async function finishCommand(
  context: CommandContext,
  operation: Operation,
  options: { readonly wait?: boolean | undefined; readonly done: (finished: Operation) => string | Promise<string> },
): Promise<void> {
  if (options.wait !== true) {
    context.print(
      operation,
      () => `Started operation ${operation.id} (${operation.kind}).\nFollow it with: holdfast operation watch ${operation.id}\n`,
    );
    return;
  }
  let finished: Operation;
  try {
    finished = await watchOperation(context, operation);
  } catch (error) {
    if (error instanceof Interrupted) {
      context.io.err(
        `\nThe operation goes on. Follow it with: holdfast operation watch ${operation.id}\nStop it with: holdfast operation cancel ${operation.id}\n`,
      );
    }
    throw error;
  }
  if (finished.state !== 'Succeeded') {
    if (context.json) context.print(finished, () => '');
    throw new OperationFailed(finished);
  }
  const text = context.json ? '' : await options.done(finished);
  context.print(finished, () => text);
}

/** The work was done, and did not succeed. */
export class OperationFailed extends CliError {
  constructor(readonly operation: Operation) {
    super(
      operation.error?.code ?? 'CANCELLED',
      `Operation ${operation.id} (${operation.kind}) ${operation.state === 'Cancelled' ? 'was cancelled' : 'failed'}: ${
        operation.error === undefined ? 'no reason given' : printable(operation.error.message)
      }`,
      { fields: operation.error?.fields ?? {} },
    );
  }

  override get exitCode(): typeof EXIT.failed {
    return EXIT.failed;
  }

  get reason(): string | undefined {
    return errorLine(this.operation.error);
  }
}
