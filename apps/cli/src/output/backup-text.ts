/** Backups as text: a table drawn as chains, one in full, one in a sentence. Pure. */
import type { Backup } from '@holdfast/shared/api/backups.js';
import { CHAIN_LEGEND, drawBackups } from './chain-drawing.js';
import { bytes, errorLine, keyValues, printable, table, time } from './text.js';

/** All backups, VM by VM, chains drawn in the first columns. */
export function backupTable(backups: readonly Backup[]): string {
  const ofVm = new Map<string, Backup[]>();
  for (const backup of backups) ofVm.set(backup.vmId, [...(ofVm.get(backup.vmId) ?? []), backup]);
  const rows = [...ofVm.values()]
    .sort((a, b) => (a[0]?.vmName ?? '').localeCompare(b[0]?.vmName ?? ''))
    .flatMap((group) => drawBackups(group))
    .map(({ backup, mark }) => [
      backup.vmName,
      mark,
      backup.name,
      backup.type,
      backup.state,
      time(backup.frozenAt ?? backup.createdAt),
      bytes(backup.sizeBytes),
      backup.id,
      backup.error?.code ?? '',
    ]);
  const text = table(['VM', 'CHAIN', 'NAME', 'TYPE', 'STATE', 'CONTENT OF', 'SIZE', 'ID', 'ERROR'], rows, 'No backups.');
  return rows.length === 0 ? text : `${text}\n${CHAIN_LEGEND}\n`;
}

/** One backup in full. */
export function backupText(backup: Backup): string {
  const facts = keyValues([
    ['backup', backup.name],
    ['id', backup.id],
    ['description', backup.description || undefined],
    ['vm', `${backup.vmName} (${backup.vmId})`],
    ['state', backup.state],
    ['error', errorLine(backup.error)],
    ['type', backup.type + (backup.isolated ? ', isolated' : '') + (backup.endOfChain ? ', end of chain' : '')],
    ['full because', backup.fullReason],
    ['parent', backup.parentId],
    ['protected', backup.protected ? 'yes' : undefined],
    ['quiesced', quiesced(backup)],
    ['content of', backup.frozenAt && time(backup.frozenAt)],
    ['size', bytes(backup.sizeBytes)],
    ['storage', backup.storageId],
    ['chosen because', backup.storageReason],
    ['operation', backup.operationId],
    ['created', time(backup.createdAt)],
    ['finished', backup.finishedAt && time(backup.finishedAt)],
    ...backup.warnings.map((warning) => ['warning', warning] as const),
  ]);
  const volumes = table(
    ['VOLUME', 'SIZE', 'VIRTUAL', 'HOLDS', 'FILE', 'BLAKE3'],
    backup.volumes.map((volume) => [
      volume.target,
      bytes(volume.sizeBytes),
      bytes(volume.virtualSizeBytes),
      volume.copiedInFull ? `all${volume.copiedInFullReason === undefined ? '' : `: ${volume.copiedInFullReason}`}` : 'changes',
      volume.file,
      volume.digest ?? '-',
    ]),
    'No volumes.',
  );
  return `${facts}\n${volumes}`;
}

function quiesced(backup: Backup): string | undefined {
  if (backup.quiesced === undefined) return undefined;
  return backup.quiesced ? `yes, frozen for ${backup.frozenMs ?? 0} ms` : 'no';
}

/** What came of `backup create --wait`. */
export function backupSummary(backup: Backup): string {
  const why = backup.fullReason === undefined ? '' : `, full because ${printable(backup.fullReason)}`;
  const end = backup.isolated ? ', isolated' : backup.endOfChain ? ', end of chain' : '';
  const warnings = backup.warnings.map((warning) => `warning: ${printable(warning)}\n`).join('');
  return `${printable(backup.name)}: ${backup.type}${end}${why}, ${bytes(backup.sizeBytes)}\n${backup.id}\n${warnings}`;
}
