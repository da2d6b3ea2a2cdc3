/** Why a call of qemu-img failed. Owns that look: locks are asked, words are not read. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ToolResult, ToolRunner } from '../process/tool-runner.js';
import { isLockedFor, type LockProbe } from './image-locks.js';

/** IMAGE_LOCKED when a lock that the call needed (`touched`) is held now, else TOOL_FAILED {tool, exitCode, stderr}. */
export async function explainFailure(
  tools: ToolRunner,
  args: readonly string[],
  answer: ToolResult,
  touched: readonly LockProbe[],
): Promise<HoldfastError> {
  for (const probe of touched) {
    // A probe that cannot be made leaves the plain failure, which says more than the probe's.
    const locked = await isLockedFor(tools, probe).catch(() => false);
    if (locked) {
      return new HoldfastError(
        'IMAGE_LOCKED',
        `${probe.path} is in use by another process, so qemu-img ${args[0]} was refused. Try again when it is free.`,
        {
          path: probe.path,
          tool: 'qemu-img',
          exitCode: String(answer.exitCode),
          stderr: answer.stderr.slice(-2000),
        },
      );
    }
  }
  return toolFailed(args, answer);
}

/** TOOL_FAILED {tool, exitCode, stderr}. */
export function toolFailed(args: readonly string[], answer: Pick<ToolResult, 'exitCode' | 'stderr'>): HoldfastError {
  const stderr = answer.stderr.slice(-2000);
  return new HoldfastError('TOOL_FAILED', `qemu-img ${args[0]} failed with exit code ${answer.exitCode}: ${stderr.trim()}`, {
    tool: 'qemu-img',
    exitCode: String(answer.exitCode),
    stderr,
  });
}
