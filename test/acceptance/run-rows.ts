/** Runs chosen rows on one system. Owns the system's life; prints nothing. */
import { SystemStack } from '../system/system-stack.js';
import { rowGroups } from './groups.js';
import type { RowReport } from './row.js';

export interface RunOptions {
  /** Of the system; unique on this machine. */
  readonly name: string;
  readonly chosen: ReadonlySet<string>;
  readonly report: RowReport;
}

/** Runs the rows, group after group, each on a stage of its own. */
export async function runRows({ name, chosen, report }: RunOptions): Promise<void> {
  const stack = await SystemStack.start({ name, hosts: 2 });
  try {
    for (const group of rowGroups) await group.run(stack, chosen, report);
  } finally {
    await stack.destroy();
  }
}
