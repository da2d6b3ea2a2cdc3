import { describe, expect, it } from '@jest/globals';
import type { DeltaState, VmPowerState } from '../persistence/entities/vm.entities.js';
import { volumesElsewhere, type OwnLayer } from './elsewhere.js';

const volume = (...layers: string[]): { id: string; layers: { path: string }[] } => ({
  id: 'v',
  layers: layers.map((path) => ({ path })),
});
const ours = (path: string, state: DeltaState, more: Partial<OwnLayer> = {}): OwnLayer => ({
  volumeId: 'v',
  path,
  state,
  ...more,
});
const certain = (powerState: VmPowerState, ...known: OwnLayer[]): boolean | undefined =>
  volumesElsewhere(powerState, [volume('d0', 'base')], known)[0]?.certain;

describe('what other hosts are to know of a volume', () => {
  it('names a planned layer until it is seen, of this volume alone', () => {
    const known = [ours('d0', 'Present'), ours('d1', 'Intended'), ours('e1', 'Intended', { volumeId: 'w' })];
    expect(volumesElsewhere('Running', [volume('d0', 'base')], known)).toEqual([
      { layers: ['d0', 'base'], planned: ['d1'], certain: true },
    ]);
    expect(volumesElsewhere('Running', [volume('d1', 'd0', 'base')], known)).toMatchObject([{ planned: [] }]);
  });

  it('believes what runs, and a stopped VM on which none of our layers is missing', () => {
    const missing = ours('d1', 'Present');
    expect(certain('Running', missing)).toBe(true);
    expect(certain('Paused', missing)).toBe(true);
    expect(certain('Stopped', ours('d0', 'Present'))).toBe(true);
    expect(certain('Stopped', ours('d0', 'Present'), ours('d1', 'Intended'))).toBe(true);
    expect(certain('Stopped', ours('b', 'Present', { branch: true }))).toBe(true);
    expect(certain('Stopped', missing)).toBe(false);
    expect(certain('Stopped', ours('d1', 'Leftover'))).toBe(false);
  });

  it('does not believe what nobody can ask', () => {
    expect(certain('Unknown')).toBe(false);
    expect(certain('Other')).toBe(false);
  });
});
