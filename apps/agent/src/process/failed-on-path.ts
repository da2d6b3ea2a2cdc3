/** A tool that failed on a file. Owns that error. Pure. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ToolResult } from './tool-runner.js';

/** TOOL_FAILED {tool, path, exitCode, stderr (last 2000 characters)}. */
export function failedOnPath(tool: string, path: string, result: ToolResult): HoldfastError {
  const stderr = result.stderr.slice(-2_000).trim();
  return new HoldfastError('TOOL_FAILED', `${tool} failed on ${path} with exit code ${result.exitCode}: ${stderr}`, {
    tool,
    path,
    exitCode: String(result.exitCode),
    stderr,
  });
}
