/**
 * `make bench`: full backup, incremental backup and restore by the bare tools (the floor), by Holdfast and by virtnbdbackup, in
 * turn, on the same data; then the guest's freeze and the memory of the programs. It never fails on a clock: it says which
 * target was met. Environment: RUNS, SIZE_GIB, DATA_GIB, CHANGE_MIB, JSON (see options.ts).
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { runPath } from '../testbed/work-dir.js';
import { benchOptions } from './options.js';
import { conditionLines } from './conditions.js';
import { measure } from './measure.js';
import { jsonRows, median, megabytes, memoryTarget, stepLine, tableLines, targetLine, timeTargets } from './report.js';

const say = (line = ''): void => void process.stdout.write(`${line}\n`);

try {
  const options = benchOptions(process.env, process.cwd());
  const loadBefore = loadavg();
  const found = await measure(options, runPath('bench-files'), say);
  const { cases, memory, freeze, steps } = found;

  say();
  for (const line of await conditionLines(options, found.peerVersion, loadBefore)) say(line);
  say();
  say(`Medians of ${options.runs} runs taken in turn (fastest–slowest)`);
  say();
  for (const line of tableLines(cases, 'virtnbdbackup')) say(line);
  say();
  say(
    `Holdfast until the operation's end (chain at rest): full ${median(found.ended.full).toFixed(2)} s, incremental ${median(found.ended.incremental).toFixed(2)} s`,
  );
  say(`Holdfast's steps, full: ${stepLine(steps.full)}`);
  say(`Holdfast's steps, incremental: ${stepLine(steps.incremental)}`);
  say(`Holdfast's steps, restore: ${stepLine(steps.restore)}`);
  say(`guest frozen (reported): median ${median(freeze.reportedMs).toFixed(0)} ms, longest ${Math.max(...freeze.reportedMs)} ms`);
  say(
    `longest gap of a program that writes in the guest: median ${median(freeze.gapMs).toFixed(0)} ms, longest ${Math.max(...freeze.gapMs)} ms`,
  );
  say(
    `agent: idle ${megabytes(memory.agentIdle.process)} (children ${megabytes(memory.agentIdle.children)}), during a backup at most ${megabytes(memory.agentBusy.process)} (children ${megabytes(memory.agentBusy.children)})`,
  );
  say(
    `manager: idle ${megabytes(memory.managerIdle.process)} (PostgreSQL ${megabytes(memory.managerIdle.children)}), during a backup at most ${megabytes(memory.managerBusy.process)} (PostgreSQL ${megabytes(memory.managerBusy.children)})`,
  );
  say();
  const targets = [
    ...timeTargets(cases),
    memoryTarget('agent', Math.max(memory.agentIdle.process, memory.agentBusy.process), 100),
    memoryTarget('manager', Math.max(memory.managerIdle.process, memory.managerBusy.process), 250),
  ];
  for (const target of targets) say(targetLine(target));
  if (options.jsonFile !== undefined) {
    await writeFile(options.jsonFile, `${JSON.stringify(jsonRows(cases), null, 2)}\n`);
    say(`figures written to ${options.jsonFile}`);
  }
} catch (error) {
  process.stderr.write(`bench failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
}
