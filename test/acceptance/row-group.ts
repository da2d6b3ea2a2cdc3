/** Runs a group of rows on its stage. Owns order, times and what a failure means for the rows after it; prints nothing. */
import type { AnyRowGroup, RowGroup, RowReport } from './row.js';
import type { SystemStack } from '../system/system-stack.js';

/** Hides the stage's type. */
export function rowGroup<Stage>(group: RowGroup<Stage>): AnyRowGroup {
  return {
    ids: group.rows.map(({ id }) => id),
    run: (stack, chosen, report) => runGroup(group, stack, chosen, report),
  };
}

async function runGroup<Stage>(
  group: RowGroup<Stage>,
  stack: SystemStack,
  chosen: ReadonlySet<string>,
  report: RowReport,
): Promise<void> {
  const last = group.rows.findLastIndex(({ id }) => chosen.has(id));
  const rows = group.rows.slice(0, last + 1);
  if (rows.length === 0) return;
  let stage: Stage | undefined;
  let failed: { id: string; error: Error } | undefined;
  try {
    for (const [index, { id, title, run }] of rows.entries()) {
      const started = performance.now();
      let error: Error | undefined;
      if (failed === undefined) {
        try {
          // Making the stage is part of the first row's time.
          if (index === 0) stage = await group.open(stack);
          await run(stage as Stage);
        } catch (thrown) {
          error = await withLogs(thrown, stack);
          failed = { id, error };
        }
      } else {
        error = new Error(
          `not run: ${failed.id}, which it needs, failed${chosen.has(failed.id) ? '' : `: ${failed.error.message}`}`,
        );
      }
      if (chosen.has(id))
        await report({ id, title, seconds: (performance.now() - started) / 1000, ...(error === undefined ? {} : { error }) });
    }
  } finally {
    if (stage !== undefined) await group.close(stage);
  }
}

async function withLogs(thrown: unknown, stack: SystemStack): Promise<Error> {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const logs = await stack.logs(12).catch(() => '');
  const described = new Error(error.message, { cause: error });
  // The message stays short; whoever shows the stack shows the logs.
  described.stack = `${error.stack ?? error.message}\n${logs}`;
  return described;
}
