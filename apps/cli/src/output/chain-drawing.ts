/**
 * Draws chains of backups and the layers of disks. Pure: resources in, text out.
 */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Volume } from '@holdfast/shared/api/inventory.js';
import { printable } from './text.js';

/** A backup with its place in a drawing: a line per backup, oldest first, chains together. */
export interface DrawnBackup {
  readonly backup: Backup;
  /** `┌ │ └` inside a chain, `─` a chain of one, `◦` isolated; then `■` where a chain ends, `…` where it is open. */
  readonly mark: string;
}

/** Backups of one VM in the order in which they are drawn: chains by the time of their first backup. */
export function drawBackups(backups: readonly Backup[]): DrawnBackup[] {
  const byId = new Map<string, Backup>(backups.map((backup) => [backup.id, backup]));
  const children = new Map<string, Backup[]>();
  const roots: Backup[] = [];
  for (const backup of [...backups].sort((a, b) => a.createdAt.localeCompare(b.createdAt))) {
    const parent = backup.parentId === undefined ? undefined : byId.get(backup.parentId);
    if (parent === undefined) roots.push(backup);
    else children.set(parent.id, [...(children.get(parent.id) ?? []), backup]);
  }
  return roots.flatMap((root) => {
    const chain: Backup[] = [];
    const visit = (backup: Backup): void => {
      chain.push(backup);
      for (const child of children.get(backup.id) ?? []) visit(child);
    };
    visit(root);
    const links = chain.filter((backup) => backup.state !== 'Failed');
    return chain.map((backup) => ({ backup, mark: mark(backup, links.indexOf(backup), links.length) }));
  });
}

function mark(backup: Backup, index: number, length: number): string {
  if (backup.isolated) return '◦';
  if (backup.state === 'Failed') return '×';
  const place = length === 1 ? '─' : index === 0 ? '┌' : index === length - 1 ? '└' : '│';
  if (backup.endOfChain) return `${place}■`;
  return index === length - 1 ? `${place}…` : place;
}

export const CHAIN_LEGEND =
  '┌│└ one chain, oldest first   ■ end of chain   … open, the next backup continues it   ◦ isolated   × failed';

/** `b1 full ← b2 ← b3 ■`, a line per chain; failed backups are left out. */
export function chainLines(backups: readonly Backup[]): string[] {
  const lines: string[] = [];
  for (const { backup, mark: drawn } of drawBackups(backups.filter((one) => one.state !== 'Failed'))) {
    const label = `${printable(backup.name)}${backup.type === 'FULL' ? ' (full)' : ''}${backup.state === 'BackedUp' ? '' : ` [${backup.state}]`}`;
    const starts = backup.isolated || /^[┌─]/.test(drawn);
    if (starts) lines.push(label);
    else lines[lines.length - 1] += ` ← ${label}`;
    if (backup.isolated) lines[lines.length - 1] += ' ◦ isolated';
    else if (drawn.endsWith('■')) lines[lines.length - 1] += ' ■ end of chain';
    else if (drawn.endsWith('…')) lines[lines.length - 1] += ' …';
  }
  return lines;
}

/** `vda  base.qcow2 ← delta.qcow2 (delta)*`: from the bottom up, `*` is what the VM writes to. */
export function volumeLine(volume: Volume): string {
  const layers = [...volume.layers].reverse().map((layer, index, all) => {
    const active = index === all.length - 1 ? '*' : '';
    return `${printable(layer.path)}${layer.backupDelta ? ' (backup delta)' : ''}${active}`;
  });
  const state = volume.attached ? '' : ' (detached)';
  return `${printable(volume.target)}${state}  ${layers.join(' ← ') || '-'}`;
}
