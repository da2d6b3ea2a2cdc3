/**
 * The acceptance rows, each as a test, but for those that sweep crash cases or walk for long: of these test/crash and test/walk
 * run a fixed part.
 * `make acceptance` runs them all.
 */
import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { rowGroups, selectRows } from './groups.js';
import { crashRows } from './rows/crash.js';
import { walkRows } from './rows/walk.js';
import { runRows } from './run-rows.js';
import type { RowResult } from './row.js';

const rowTimeoutMs = 900_000;
const elsewhere = [...crashRows.ids, ...walkRows.ids];
const chosen = new Set([...selectRows(process.env['CASES'])].filter((id) => !elsewhere.includes(id)));

describe('acceptance', () => {
  const results = new Map<string, RowResult>();
  const waiting = new Map<string, () => void>();
  let run: Promise<void>;
  let broken: Error | undefined;

  beforeAll(() => {
    // The rows run beside the tests, which only wait for their own: so each is shown with its own time and failure.
    run = runRows({
      name: 'ci-acceptance',
      chosen,
      report(result) {
        results.set(result.id, result);
        waiting.get(result.id)?.();
      },
    })
      .catch((error: unknown) => {
        broken = error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        for (const wake of waiting.values()) wake();
      });
  });

  afterAll(async () => {
    await run;
    if (broken !== undefined) throw broken;
  }, rowTimeoutMs);

  for (const id of rowGroups.flatMap(({ ids }) => ids).filter((one) => chosen.has(one))) {
    it(
      id,
      async () => {
        if (!results.has(id) && broken === undefined) {
          await Promise.race([run, new Promise<void>((resolve) => waiting.set(id, resolve))]);
        }
        const result = results.get(id);
        if (result === undefined) throw broken ?? new Error('the row was not run');
        if (result.error !== undefined) throw result.error;
      },
      rowTimeoutMs,
    );
  }
});
