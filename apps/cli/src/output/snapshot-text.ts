/** VM snapshots as text: a tree in a table, one in full, one in a sentence. Pure. */
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { errorLine, keyValues, printable, table, time } from './text.js';

/** A snapshot with its place in the tree: `├─ `, `└─ ` behind the lines of its ancestors; nothing for one without a parent. */
export interface DrawnSnapshot {
  readonly snapshot: VmSnapshot;
  readonly branch: string;
}

/** Depth first, oldest first. A parent that is not among them counts as none. */
export function drawSnapshots(snapshots: readonly VmSnapshot[]): DrawnSnapshot[] {
  const ids = new Set<string>(snapshots.map(({ id }) => id));
  const drawn: DrawnSnapshot[] = [];
  const visit = (parent: string | undefined, indent: string): void => {
    const children = snapshots
      .filter(({ parentId }) => (parentId !== undefined && ids.has(parentId) ? parentId : undefined) === parent)
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt));
    children.forEach((snapshot, index) => {
      const last = index === children.length - 1;
      const root = parent === undefined;
      drawn.push({ snapshot, branch: root ? '' : `${indent}${last ? '└─ ' : '├─ '}` });
      visit(snapshot.id, root ? '' : `${indent}${last ? '   ' : '│  '}`);
    });
  };
  visit(undefined, '');
  return drawn;
}

/** The snapshots of one VM as a tree. */
export function snapshotTable(snapshots: readonly VmSnapshot[]): string {
  const rows = drawSnapshots(snapshots).map(({ snapshot, branch }) => [
    `${branch}${snapshot.name}${snapshot.current ? ' *' : ''}`,
    snapshot.state,
    time(snapshot.frozenAt ?? snapshot.createdAt),
    snapshot.volumes.map(({ target }) => target).join(', ') || '-',
    madeBy(snapshot),
    snapshot.id,
    snapshot.error?.code ?? '',
  ]);
  const text = table(['NAME', 'STATE', 'CONTENT OF', 'VOLUMES', 'MADE BY', 'ID', 'ERROR'], rows, 'No snapshots.');
  return rows.length === 0 ? text : `${text}\n* what the VM writes now lies on it\n`;
}

/** One snapshot in full. */
export function snapshotText(snapshot: VmSnapshot): string {
  const facts = keyValues([
    ['snapshot', snapshot.name + (snapshot.current ? ' (the VM stands on it)' : '')],
    ['id', snapshot.id],
    ['description', snapshot.description || undefined],
    ['vm', snapshot.vmId],
    ['state', snapshot.state],
    ['error', errorLine(snapshot.error)],
    ['made by', madeBy(snapshot)],
    ['parent', snapshot.parentId],
    ['quiesced', quiesced(snapshot)],
    ['content of', snapshot.frozenAt && time(snapshot.frozenAt)],
    ['operation', snapshot.operationId],
    ['created', time(snapshot.createdAt)],
  ]);
  const volumes = table(
    ['VOLUME', 'LAYER THAT HOLDS IT'],
    snapshot.volumes.map(({ target, path }) => [target, path]),
    'No volumes.',
  );
  return `${facts}\n${volumes}`;
}

/** What came of `snapshot create --wait`. */
export function snapshotSummary(snapshot: VmSnapshot): string {
  const volumes = snapshot.volumes.map(({ target }) => target).join(', ');
  const frozen = snapshot.quiesced === true ? ', quiesced' : '';
  return `${printable(snapshot.name)}: ${snapshot.state}, ${printable(volumes)}${frozen}\n${snapshot.id}\n`;
}

function madeBy({ origin, leftToVirsh }: VmSnapshot): string {
  if (origin === 'holdfast') return 'holdfast';
  return leftToVirsh ? 'virsh, left to it' : 'virsh';
}

function quiesced(snapshot: VmSnapshot): string | undefined {
  if (snapshot.quiesced === undefined) return undefined;
  return snapshot.quiesced ? `yes, frozen for ${snapshot.frozenMs ?? 0} ms` : 'no';
}
