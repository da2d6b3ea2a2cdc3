/**
 * `make crash`: every step × before/after × fault of every operation, then the findings. OPERATIONS, FAULTS, CASES (comma
 * lists; CASES matches parts of names) choose; EVERY=n takes a fixed nth part.
 */
import { FINDINGS, runFindings } from './findings/index.js';
import { runCrashCases } from './run-crash-cases.js';

const list = (name: string): string[] | undefined => process.env[name]?.split(',').filter((text) => text !== '');
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const every = process.env['EVERY'];
const swept = await runCrashCases(
  {
    operations: list('OPERATIONS'),
    faults: list('FAULTS'),
    matching: list('CASES'),
    everyNth: every === undefined ? undefined : Number(every),
  },
  print,
);
const findings = await runFindings(
  FINDINGS.filter(
    ({ name }) =>
      list('OPERATIONS') === undefined &&
      list('FAULTS') === undefined &&
      (list('CASES') ?? ['']).some((text) => name.includes(text)),
  ),
  print,
);
const passed = swept.passed + findings.passed;
const failed = swept.failed + findings.failed;
if (passed + failed === 0) print(`CASES=${process.env['CASES'] ?? ''} matches no case.`);
print(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
