/** `make acceptance`: runs rows (CASES=B1,B2 or CASES=B), prints a line for each and a summary. Exit code 1 when one failed. */
import { selectRows } from './groups.js';
import { runRows } from './run-rows.js';
import type { RowResult } from './row.js';

const results: RowResult[] = [];
let chosen: ReadonlySet<string>;
try {
  chosen = selectRows(process.env['CASES']);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(2);
}

try {
  await runRows({
    name: 'acceptance',
    chosen,
    report(result) {
      results.push(result);
      const { id, seconds, error } = result;
      if (error === undefined) console.log(`${id} ok ${seconds.toFixed(1)}s`);
      else console.log(`${id} FAILED ${error.message}\n${(error.stack ?? '').slice(0, 6_000)}`);
    },
  });
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
const passed = results.filter(({ error }) => error === undefined).length;
console.log(`${passed} passed, ${chosen.size - passed} failed`);
process.exit(passed === chosen.size ? 0 : 1);
