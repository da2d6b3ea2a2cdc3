/**
 * `make crash`: every step × before/after × fault of every operation, then the findings. OPERATIONS, FAULTS, CASES (comma
 * lists; CASES matches parts of names) choose; EVERY=n takes a fixed nth part. FINDINGS (parts of names of findings) runs those
 * alone, without finding out the steps of any operation.
 */
import { FINDINGS, runFindings } from './findings/index.js';
import { runCrashCases } from './run-crash-cases.js';

const list = (name: string): string[] | undefined => process.env[name]?.split(',').filter((text) => text !== '');
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const every = process.env['EVERY'];
const wishes = { operations: list('OPERATIONS'), faults: list('FAULTS'), matching: list('CASES') };
const alone = list('FINDINGS');
const swept =
  alone === undefined
    ? await runCrashCases({ ...wishes, everyNth: every === undefined ? undefined : Number(every) }, print)
    : { passed: 0, failed: 0 };
const named = alone ?? (wishes.operations === undefined && wishes.faults === undefined ? (wishes.matching ?? ['']) : []);
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
