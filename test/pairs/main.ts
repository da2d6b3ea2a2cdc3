/** `make pairs`: every cell of the table operation × operation on a real VM; PAIRS='backup x restore,x compaction' chooses. */
import { runPairs } from './run-pairs.js';

const wanted = process.env['PAIRS']?.split(',').filter((text) => text !== '');
const { passed, failed } = await runPairs(wanted, (line) => void process.stdout.write(`${line}\n`));
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
