/** X14: one long random walk, on a system of its own. `make walk` takes others. */
import { walk } from '../../walk/walk.js';
import type { AnyRowGroup } from '../row.js';

const SEED = 14;
const STEPS = 200;
const ID = 'X14';

export const walkRows: AnyRowGroup = {
  ids: [ID],
  async run(_stack, chosen, report) {
    if (!chosen.has(ID)) return;
    const began = performance.now();
    const result = await walk({ seed: SEED, steps: STEPS, name: 'walk' }, () => undefined).then(
      () => ({}),
      (thrown: unknown) => ({ error: thrown instanceof Error ? thrown : new Error(String(thrown)) }),
    );
    const title = `random walk of ${STEPS} operations with random kills`;
    await report({ id: ID, title, seconds: (performance.now() - began) / 1000, ...result });
  },
};
