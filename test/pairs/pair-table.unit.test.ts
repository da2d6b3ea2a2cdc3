import { describe, expect, it } from '@jest/globals';
import { operationKindSchema } from '@holdfast/shared/api/operations.js';
import { PAIR_KINDS } from './pair-kinds.js';
import { expectedOutcome } from './pair-table.js';
import { allCells, chooseCells } from './run-pairs.js';

describe('the table operation × operation', () => {
  it('has a row for every kind of operation that there is', () => {
    expect(PAIR_KINDS.map(({ kind }) => kind).sort()).toEqual([...operationKindSchema.options].sort());
  });

  it('has a cell for every pair, and for everybody who works on a VM beside Holdfast', () => {
    const names = allCells().map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining(['backup x backup', 'release-files x compaction', 'restore x edited-definition']),
    );
    expect(names).toHaveLength(PAIR_KINDS.length * (PAIR_KINDS.length + 3) - PAIR_KINDS.filter(({ off }) => off === true).length);
  });

  it('does not invent what it does not have', () => {
    expect(() => expectedOutcome('backup', 'dance')).toThrow('backup x dance');
  });

  it('a text that chooses no cell is named', () => {
    expect(() => chooseCells(['backup x restore', 'restore x dance'])).toThrow('restore x dance');
    expect(chooseCells(['backup x restore']).map(({ name }) => name)).toEqual(['backup x restore']);
  });
});
