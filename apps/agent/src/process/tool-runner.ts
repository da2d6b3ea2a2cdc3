/**
 * The port through which every child process is started. Argument arrays only, LC_ALL=C, a deadline always, the whole
 * process group killed when it passes. A child that cannot be reaped (D state on a hung storage) does not hold its caller.
 */
export interface ToolCall {
  /** Hard limit; then the group is killed and TIMED_OUT is thrown. */
  readonly deadlineMs: number;
  /** Aborted: the group is killed and CANCELLED is thrown. */
  readonly signal?: AbortSignal;
  readonly input?: string | Uint8Array;
  /** Raw pieces of stdout as they come (progress). */
  readonly onStdout?: (text: string) => void;
}

export interface ToolResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ToolRunner {
  /** Runs to the end; a non-zero exit is a result. Throws TIMED_OUT, CANCELLED, INTERRUPTED (killed by a signal from outside), CONFIGURATION_INVALID (tool missing). */
  run(tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult>;
  /** As run, but a non-zero exit throws TOOL_FAILED {tool, exitCode, stderr (last 2000 characters)}. Returns stdout. */
  must(tool: string, args: readonly string[], call: ToolCall): Promise<string>;
}
