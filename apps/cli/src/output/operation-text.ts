/**
 * Operations as text: their state, steps and progress, and what changed between two looks at one. Pure.
 */
import type { Operation } from '@holdfast/shared/api/operations.js';
import { bytes, duration, errorLine, keyValues, printable, table, time } from './text.js';

const FINISHED: readonly Operation['state'][] = ['Succeeded', 'Failed', 'Cancelled'];

export function isFinished(operation: Operation): boolean {
  return FINISHED.includes(operation.state);
}

/** 0–100, or undefined while the total is not known. */
export function percentOf(volume: Operation['progress'][number]): number | undefined {
  if (volume.totalBytes === undefined) return undefined;
  const total = BigInt(volume.totalBytes);
  if (total === 0n) return 100;
  const percent = Number((BigInt(volume.doneBytes) * 100n) / total);
  return Math.min(100, percent);
}

function stepName(step: Operation['steps'][number]): string {
  return step.subject === '' ? step.name : `${step.name} ${printable(step.subject)}`;
}

function stepTime(step: Operation['steps'][number]): string {
  if (step.finishedAt === undefined) return '';
  return ` (${duration(Date.parse(step.finishedAt) - Date.parse(step.startedAt))})`;
}

/**
 * Plain lines for what is new since `before`: steps that began, ended or failed, each further tenth of a volume,
 * warnings, and who is waited for.
 */
export function changesBetween(before: Operation | undefined, now: Operation): string[] {
  const lines: string[] = [];
  if (now.waitingFor !== undefined && now.waitingFor !== before?.waitingFor) lines.push(`waiting: ${printable(now.waitingFor)}`);
  if (now.state === 'Undoing' && before?.state !== 'Undoing') lines.push('undoing what was done');
  now.steps.forEach((step, index) => {
    const old = before?.steps[index];
    if (old?.state === step.state) return;
    const words = step.state === 'Running' ? '…' : step.state === 'Done' ? ' done' : ' FAILED';
    lines.push(`${stepName(step)}${words}${stepTime(step)}`);
  });
  for (const volume of now.progress) {
    const old = before?.progress.find((one) => one.key === volume.key && one.phase === volume.phase);
    const percent = percentOf(volume);
    const oldPercent = old === undefined ? undefined : percentOf(old);
    if (percent === undefined || Math.floor(percent / 10) === Math.floor((oldPercent ?? -1) / 10)) continue;
    lines.push(
      `${printable(volume.target)} ${volume.phase} ${percent}% (${bytes(volume.doneBytes)} of ${bytes(volume.totalBytes)})`,
    );
  }
  for (const warning of now.warnings.slice(before?.warnings.length ?? 0)) lines.push(`warning: ${printable(warning)}`);
  return lines;
}

/** One operation in full. */
export function operationText(operation: Operation): string {
  const facts = keyValues([
    ['operation', operation.id],
    ['kind', operation.kind],
    ['state', operation.state + (operation.cancelRequested && !isFinished(operation) ? ' (cancel requested)' : '')],
    ['vm', operation.vmId],
    ['host', operation.hostId],
    ['backup', operation.backupId],
    ['vm snapshot', operation.vmSnapshotId],
    ['waiting for', operation.waitingFor],
    ['created', time(operation.createdAt)],
    ['started', operation.startedAt && time(operation.startedAt)],
    ['finished', operation.finishedAt && time(operation.finishedAt)],
    ['error', errorLine(operation.error)],
  ]);
  const steps = operation.steps.map((step) => `  ${stepName(step)}: ${step.state}${stepTime(step)}\n`);
  const progress = operation.progress.map(
    (volume) => `  ${printable(volume.target)} ${volume.phase}: ${bytes(volume.doneBytes)} of ${bytes(volume.totalBytes)}\n`,
  );
  const warnings = operation.warnings.map((warning) => `warning: ${printable(warning)}\n`);
  return [
    facts,
    steps.length > 0 ? `steps\n${steps.join('')}` : '',
    progress.length > 0 ? `volumes\n${progress.join('')}` : '',
    planText(operation),
    ...warnings,
  ].join('');
}

/** What a finishing of a chain does, in words; empty without a plan. */
export function planText(operation: Operation): string {
  if (operation.plan === undefined) return '';
  if (operation.plan.length === 0) return 'plan: nothing to do\n';
  return `plan\n${operation.plan.map((line, index) => `  ${index + 1}. ${printable(line)}\n`).join('')}`;
}

export function operationTable(operations: readonly Operation[]): string {
  return table(
    ['ID', 'KIND', 'STATE', 'VM', 'CREATED', 'TOOK', 'ERROR'],
    operations.map((one) => [
      one.id,
      one.kind,
      one.state,
      one.vmId,
      time(one.createdAt),
      one.startedAt !== undefined && one.finishedAt !== undefined
        ? duration(Date.parse(one.finishedAt) - Date.parse(one.startedAt))
        : '-',
      one.error?.code ?? '',
    ]),
    'No operations.',
  );
}
