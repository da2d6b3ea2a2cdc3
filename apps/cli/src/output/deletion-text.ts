/** Deletions and what backups take, as text. Pure. */
import type { Deletion, DeletionPlan, Usage } from '@holdfast/shared/api/backups.js';
import { bytes, printable, table } from './text.js';

/** What goes, what stays and why, VM by VM; then the operations that do it. */
export function deletionText({ plans, operations }: Deletion): string {
  const followed = operations.map(({ id }) => `Started operation ${id}. Follow it with: holdfast operation watch ${id}\n`);
  return [...plans.map(planText), ...followed].join('');
}

function planText(plan: DeletionPlan): string {
  const line = (sign: string, words: string): string => `  ${sign} ${words}\n`;
  const lines = [
    ...plan.refusals.map(({ error }) => line('!', `refused: ${printable(error.message)}`)),
    ...plan.expunged.map((one) => line('-', `${printable(one.name)}  ${bytes(one.sizeBytes)}  its files go  ${one.id}`)),
    ...plan.removed.map((one) => line('~', `${printable(one.name)}  taken from sight, its files stay for others  ${one.id}`)),
    ...plan.chainEnds.map((one) => line('=', `${printable(one.name)}  is the end of its chain then`)),
    ...(plan.mergesOnPrimary
      ? [line('=', 'the open chain ends: its deltas on primary are merged, the next backup is full')]
      : []),
  ];
  const freed = plan.expunged.length === 0 ? '' : `, ${bytes(plan.freedBytes)} on storage`;
  return `VM ${printable(plan.vmName)}${freed}\n${lines.length === 0 ? line(' ', 'nothing is left to delete') : lines.join('')}`;
}

export function usageTable(usage: readonly Usage[]): string {
  const rows = usage.map((one) => [
    one.accountId ?? '(no owner)',
    String(one.backups),
    bytes(one.sizeBytes),
    bytes(one.deletedBytes),
  ]);
  return table(['ACCOUNT', 'BACKUPS', 'SIZE', 'OF WHICH DELETED'], rows, 'No backups.');
}
