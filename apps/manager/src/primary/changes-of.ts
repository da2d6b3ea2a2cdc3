/** What the answer of an agent says of changes on primary, whatever the operation was. Pure. */
import type { AgentOperation, ChainChanges } from '../agents/agent-types.js';

/** Also of an operation that failed: what was merged before, or by its undo, is merged. */
export function changesOf(outcome: AgentOperation): ChainChanges | undefined {
  const value = outcome.result?.value;
  return value !== undefined && 'changes' in value ? value.changes : undefined;
}
