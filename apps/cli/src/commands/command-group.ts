/**
 * How a group of commands is written: commander's command, and `run` that opens the context for a handler.
 */
import type { Command } from 'commander';
import type { CommandContext } from '../context.js';

/** `args`: the positional ones, in order, missing optional ones undefined. `options`: of this command alone. */
export type Handler<O> = (context: CommandContext, args: readonly string[], options: O) => Promise<void>;

export interface Shell {
  readonly program: Command;
  run<O = Record<string, never>>(handler: Handler<O>): (...values: unknown[]) => Promise<void>;
}

/** `Examples:` at the end of a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}
