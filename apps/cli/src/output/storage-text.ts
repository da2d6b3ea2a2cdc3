/** What a check of a storage and its cleaning look like for people. Pure. */
import type { ScannedBackup, StorageCheck, StorageCleaning, StorageScan } from '@holdfast/shared/api/storage.js';
import { bytes, errorLine, printable, table, time } from './text.js';

/** Findings, first those that can be removed; what they hold; what was not judged. */
export function checkText(name: string, check: StorageCheck): string {
  const removable = check.findings.filter((one) => one.removable);
  const ordered = [...removable, ...check.findings.filter((one) => !one.removable)];
  const found = table(
    ['FINDING', 'KIND', 'SIZE', 'REMOVABLE', 'WHAT'],
    ordered.map((one) => [one.id, one.kind, bytes(one.allocatedBytes), one.removable ? 'yes' : 'no', one.message]),
    'Nothing was found: everything belongs to a record.',
  );
  const total = bytes(removable.reduce((sum, one) => sum + BigInt(one.allocatedBytes), 0n).toString());
  const ids = removable.map((one) => ` --finding ${one.id}`).join('');
  return [
    found,
    `${check.files} files on the storage, ${bytes(check.allocatedBytes)}.\n`,
    ...(removable.length === 0
      ? []
      : [`${removable.length} can be removed (${total}):\n  holdfast storage clean ${shellWord(name)}${ids}\n`]),
    ...check.notChecked.map((sentence) => `Not checked: ${printable(sentence)}\n`),
  ].join('');
}

/** What was taken up and set right, what is left and why, what was not judged. */
export function scanText({ dryRun, takenUp, corrected, newVms, left, warnings, notChecked }: StorageScan): string {
  const backups = (kind: string, found: readonly ScannedBackup[]): string[][] =>
    found.map((one) => [kind, one.vmName, one.backupName, time(one.frozenAt), one.message]);
  const rows = [...backups('taken up', takenUp), ...backups('set right', corrected), ...backups('left', left)];
  return [
    table(['SCAN', 'VM', 'BACKUP', 'FROZEN', 'WHAT'], rows, 'Nothing to take up: every backup on the storage is on record.'),
    ...newVms.map(({ vmName, vmId }) => `New here, as gone: VM ${printable(vmName)} (${vmId})\n`),
    ...warnings.map((sentence) => `Note: ${printable(sentence)}\n`),
    ...notChecked.map((sentence) => `Not checked: ${printable(sentence)}\n`),
    dryRun ? 'Nothing was written. Leave --dry-run out to do it.\n' : '',
  ].join('');
}

/** A line for each finding that was named. */
export function cleaningText({ cleaned, freedBytes }: StorageCleaning): string {
  const lines = cleaned.map(({ id, path, freedBytes: freed, kept }) =>
    kept === undefined
      ? `${id} removed ${printable(path)} (${bytes(freed)})`
      : `${id} kept ${printable(path)}: ${printable(errorLine(kept) ?? '')}`,
  );
  return `${lines.join('\n')}\n${bytes(freedBytes)} freed.\n`;
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9_.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
