/** A short part of the random walk on fixed seeds; `make walk` takes long ones. */
import { describe, it } from '@jest/globals';
import { walk } from './walk.js';

const SEEDS = [1, 2];
const STEPS = 8;
const WALK_MS = 1_800_000;

describe('a random walk', () => {
  it.each(SEEDS)(
    `seed %i, ${STEPS} steps: every invariant holds after each`,
    async (seed) => {
      await walk({ seed, steps: STEPS, name: 'ci-walk' }, () => undefined);
    },
    WALK_MS,
  );
});
