/** Waiting for operations of the manager, through its restarts. Owns no decision on what an end means. */
import type { Operation, OperationState } from '@holdfast/shared/api/operations.js';
import { waitUntil } from '../testbed/wait-until.js';
import { ApiProblem, type RestClient } from './rest-client.js';

const ends: readonly OperationState[] = ['Succeeded', 'Failed', 'Cancelled'];

export function hasEnded(operation: Operation): boolean {
  return ends.includes(operation.state);
}

/** An operation that did not end as it should have. */
export class OperationNotSucceeded extends Error {
  constructor(readonly operation: Operation) {
    const steps = operation.steps
      .map(({ name, subject, state }) => `${name}${subject === '' ? '' : `.${subject}`} ${state}`)
      .join(', ');
    super(
      `${operation.kind} ${operation.id} is ${operation.state}: ${operation.error?.code ?? 'no error'} ${operation.error?.message ?? ''}\n` +
        `  steps: ${steps}${operation.warnings.length === 0 ? '' : `\n  warnings: ${operation.warnings.join(' | ')}`}`,
    );
  }
}

/** For a wait that an operation's end makes vain: how it ended, or undefined as long as it goes on. */
export async function whyOver(api: RestClient, operationId: string): Promise<string | undefined> {
  const operation = await api.get<Operation>(`/operations/${operationId}`);
  return hasEnded(operation) ? new OperationNotSucceeded(operation).message : undefined;
}

/** Waits for the end, whatever it is. A manager that is away meanwhile is waited for. */
export async function waitForEnd(api: RestClient, operationId: string, timeoutMs = 600_000): Promise<Operation> {
  return waitUntil(
    `operation ${operationId} has ended`,
    async () => {
      try {
        const operation = await api.get<Operation>(`/operations/${operationId}`);
        return hasEnded(operation) ? operation : undefined;
      } catch (error) {
        if (error instanceof ApiProblem && error.status < 500) throw error;
        return undefined;
      }
    },
    { timeoutMs, intervalMs: 200 },
  );
}

/** Waits for the end and throws OperationNotSucceeded unless it is a good one. */
export async function waitForSuccess(api: RestClient, operationId: string): Promise<Operation> {
  const operation = await waitForEnd(api, operationId);
  if (operation.state !== 'Succeeded') throw new OperationNotSucceeded(operation);
  return operation;
}
