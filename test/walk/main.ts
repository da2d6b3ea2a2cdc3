/** `make walk SEED=n STEPS=200`: one random walk; SEED=1,2,3 takes several. Exit code 1 when something was wrong. */
import { walk } from './walk.js';

const seeds = (process.env['SEED'] ?? String(Date.now() % 1_000_000)).split(',').map(Number);
const steps = Number(process.env['STEPS'] ?? '200');
if (seeds.some((seed) => !Number.isInteger(seed)) || !Number.isInteger(steps) || steps < 1) {
  process.stderr.write('SEED and STEPS are whole numbers: make walk SEED=7 STEPS=200\n');
  process.exit(2);
}

let failed = 0;
for (const seed of seeds) {
  try {
    await walk({ seed, steps, name: 'walk' }, (line) => void process.stdout.write(`${line}\n`));
    process.stdout.write(`seed ${seed}: ${steps} steps, every invariant holds\n`);
  } catch (error) {
    failed += 1;
    process.stdout.write(`seed ${seed} FAILED\n${error instanceof Error ? error.message : String(error)}\n`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
