/** A seed repeats a walk, and only what is possible is chosen. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { chooseStep, describeStep, type WalkState } from './choose-step.js';
import { Random } from './random.js';

const state: WalkState = {
  running: true,
  foreignLayer: false,
  snapshots: 0,
  extraDisks: [],
  attachedEver: 0,
  backups: ['b'],
  steps: new Map([['TakeBackup', [{ step: 'copy', subject: '{vda}' }]]]),
};
const choices = {
  moves: [
    { name: 'stop', weight: 1, possible: ({ running }: WalkState) => running },
    { name: 'start', weight: 1, possible: ({ running }: WalkState) => !running },
  ],
  operations: [{ name: 'TakeBackup', weight: 1 }],
  faults: ['agent', 'power-loss'],
};
const walk = (seed: number, running = true): string[] => {
  const random = new Random(seed);
  return Array.from({ length: 40 }, () => describeStep(chooseStep(random, { ...state, running }, choices)));
};

describe('choosing the steps of a walk', () => {
  it('gives the same steps for the same seed, and others for another', () => {
    fc.assert(fc.property(fc.integer(), (seed) => expect(walk(seed)).toEqual(walk(seed))));
    expect(walk(1)).not.toEqual(walk(2));
  });

  it('chooses what is possible only, and all of it some time', () => {
    const running = new Set(Array.from({ length: 20 }, (_unused, seed) => walk(seed)).flat());
    expect([...running].sort()).toEqual([
      'TakeBackup',
      'TakeBackup, agent after copy.{vda}',
      'TakeBackup, agent before copy.{vda}',
      'TakeBackup, power-loss after copy.{vda}',
      'TakeBackup, power-loss before copy.{vda}',
      'stop',
    ]);
    expect(walk(1, false)).not.toContain('stop');
  });

  it('has numbers from 0 on and below 1', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const number = new Random(seed).next();
        expect(number).toBeGreaterThanOrEqual(0);
        expect(number).toBeLessThan(1);
      }),
    );
  });
});
