/**
 * `make crash`: every step × before/after × fault of every operation, then the findings. OPERATIONS, FAULTS, CASES (comma
 * lists; CASES matches parts of names) choose; ROUND=n strikes every step once. FINDINGS (parts of names of findings) runs those
 * alone; whole names in CASES, too, are run without finding out the steps of any operation.
 */
import { FINDINGS, runFindings } from './findings/index.js';
import { runCrashCases } from './run-crash-cases.js';

const list = (name: string): string[] | undefined => process.env[name]?.split(',').filter((text) => text !== '');
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const [round] = list('ROUND') ?? [];
const wishes = {
  operations: list('OPERATIONS'),
  faults: list('FAULTS'),
  matching: list('CASES'),
  round: round === undefined ? undefined : Number(round),
};
const alone = list('FINDINGS');
const swept = alone === undefined ? await runCrashCases(wishes, print) : { passed: 0, failed: 0 };
const wholeSweep = wishes.operations === undefined && wishes.faults === undefined && round === undefined;
const named = alone ?? (wholeSweep ? (wishes.matching ?? ['']) : []);
const findings = await runFindings(
  FINDINGS.filter(({ name }) => named.some((text) => name.includes(text))),
  print,
);
const passed = swept.passed + findings.passed;
const failed = swept.failed + findings.failed;
if (passed + failed === 0)
  print(`${alone === undefined ? 'CASES' : 'FINDINGS'}=${(alone ?? wishes.matching)?.join() ?? ''} matches nothing.`);
print(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
