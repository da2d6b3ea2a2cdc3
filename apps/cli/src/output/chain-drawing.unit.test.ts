import { describe, expect, test } from '@jest/globals';
import { backup, id, VM_ID } from '../testing/samples.js';
import { volumeSchema } from '@holdfast/shared/api/inventory.js';
import { backupTable } from './backup-text.js';
import { chainLines, drawBackups, volumeLine } from './chain-drawing.js';

const closed = [
  backup(1),
  backup(2, { type: 'INCREMENTAL', parentId: id(1) }),
  backup(3, { type: 'INCREMENTAL', parentId: id(2), endOfChain: true }),
];
const isolated = backup(4, { isolated: true, endOfChain: true });
const open = [backup(5), backup(6, { type: 'INCREMENTAL', parentId: id(5) })];

describe('the drawing of chains', () => {
  test('shows a closed chain, an isolated backup and an open chain in the order of their beginnings', () => {
    const drawn = drawBackups([...open, isolated, ...closed]);
    expect(drawn.map(({ backup: one, mark }) => `${one.name} ${mark}`)).toEqual([
      'b1 ┌',
      'b2 │',
      'b3 └■',
      'b4 ◦',
      'b5 ┌',
      'b6 └…',
    ]);
  });

  test('keeps the children of a chain together when an isolated backup was taken between', () => {
    const drawn = drawBackups([backup(1), backup(2, { isolated: true }), backup(3, { type: 'INCREMENTAL', parentId: id(1) })]);
    expect(drawn.map(({ mark }) => mark)).toEqual(['┌', '└…', '◦']);
  });

  test('a failed backup is no link of its chain', () => {
    const drawn = drawBackups([backup(1), backup(2, { type: 'INCREMENTAL', parentId: id(1), state: 'Failed' })]);
    expect(drawn.map(({ mark }) => mark)).toEqual(['─…', '×']);
  });

  test('a backup whose parent is not in the list begins a drawing of its own', () => {
    expect(drawBackups([backup(2, { type: 'INCREMENTAL', parentId: id(1) })]).map(({ mark }) => mark)).toEqual(['─…']);
  });

  test('writes chains as lines', () => {
    expect(chainLines([...closed, isolated, ...open])).toEqual([
      'b1 (full) ← b2 ← b3 ■ end of chain',
      'b4 (full) ◦ isolated',
      'b5 (full) ← b6 …',
    ]);
  });

  test('the table of backups carries the drawing and its legend', () => {
    const lines = backupTable([...closed, isolated]).split('\n');
    expect(lines[0]).toMatch(/^VM +CHAIN +NAME +TYPE/);
    expect(lines[1]).toContain('web-1  ┌      b1    FULL         BackedUp  2026-11-21 10:01:00Z  1 MiB');
    expect(lines[3]).toContain('└■');
    expect(lines.at(-2)).toContain('■ end of chain');
  });

  test('writes the layers of a volume from the bottom up and marks the active one', () => {
    const volume = volumeSchema.parse({
      id: id(7),
      vmId: VM_ID,
      target: 'vda',
      attached: true,
      virtualSizeBytes: '1',
      layers: [
        { path: '/p/d.qcow2', format: 'qcow2', allocatedBytes: '1', backupDelta: true },
        { path: '/p/v.qcow2', format: 'qcow2', allocatedBytes: '1', backupDelta: false },
      ],
    });
    expect(volumeLine(volume)).toBe('vda  /p/v.qcow2 ← /p/d.qcow2 (backup delta)*');
  });
});
