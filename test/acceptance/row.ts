/** What a row of the acceptance tables is here. Types alone. */
import type { SystemStack } from '../system/system-stack.js';

/** One row: `B1` is table and number in the acceptance tables. */
export interface Row<Stage> {
  readonly id: string;
  /** The case in words. */
  readonly title: string;
  run(stage: Stage): Promise<void>;
}

/**
 * Rows that build on each other share a stage and run in order; choosing one runs those before it as well. Independent rows
 * are groups of one.
 */
export interface RowGroup<Stage> {
  open(stack: SystemStack): Promise<Stage>;
  close(stage: Stage): Promise<void>;
  readonly rows: readonly Row<Stage>[];
}

/** A group whose stage nobody outside needs to know. */
export interface AnyRowGroup {
  readonly ids: readonly string[];
  /** Runs the rows up to the last chosen one; reports each as it ends. Rows after a failed one are reported as failed. */
  run(stack: SystemStack, chosen: ReadonlySet<string>, report: RowReport): Promise<void>;
}

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly seconds: number;
  readonly error?: Error;
}

export type RowReport = (result: RowResult) => void | Promise<void>;
