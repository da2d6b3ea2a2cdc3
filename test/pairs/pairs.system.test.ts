/** A fixed part of the table operation × operation: the cells that touch the same files. `make pairs` runs all of them. */
import { describe, it } from '@jest/globals';
import { runPairs } from './run-pairs.js';

const PART = [
  'backup x compaction',
  'restore x edited-definition',
  'finish-chain x virsh-snapshot',
  'delete-backups x backup',
  'revert-snapshot x backup',
  'compaction x restore',
];
const PART_MS = 1_800_000;

describe('two operations of one VM', () => {
  it(
    `a fixed part of the table: ${PART.join(', ')}`,
    async () => {
      const lines: string[] = [];
      const { failed } = await runPairs(PART, (line) => void lines.push(line));
      if (failed > 0) throw new Error(lines.join('\n'));
    },
    PART_MS,
  );
});
