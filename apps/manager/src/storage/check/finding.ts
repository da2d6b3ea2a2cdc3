/** What a check finds, as plain data, and its lasting id. Pure. */
import { createHash } from 'node:crypto';
import type { StorageFinding, StorageFindingKind } from '@holdfast/shared/api/storage.js';

const ID_LENGTH = 12;

/** What a removal needs beside what is shown. */
export interface Finding {
  readonly kind: StorageFindingKind;
  readonly path: string;
  readonly hostId?: string;
  readonly allocatedBytes: bigint;
  readonly message: string;
  readonly vmId?: string;
  readonly backupId?: string;
  /** Of a layer on primary: which file it was. */
  readonly inode?: bigint;
}

/** Only what nothing needs; a backup, even one that nobody knows, is never among them. */
const REMOVABLE: ReadonlySet<StorageFindingKind> = new Set([
  'FolderWithoutManifest',
  'PartialFile',
  'StrayFile',
  'DeletedBackup',
  'OrphanLayer',
  'OrphanVolume',
]);

export function isRemovable({ kind }: Pick<Finding, 'kind'>): boolean {
  return REMOVABLE.has(kind);
}

/** The same finding has the same id in every check. */
export function findingId({ kind, hostId, path }: Finding): string {
  return createHash('sha256')
    .update([kind, hostId ?? '', path].join('\0'))
    .digest('hex')
    .slice(0, ID_LENGTH);
}

/** As the public API shows it. */
export function findingView(finding: Finding): StorageFinding {
  const { kind, path, hostId, allocatedBytes, message, vmId, backupId } = finding;
  return {
    id: findingId(finding),
    kind,
    path,
    ...(hostId === undefined ? {} : { hostId: hostId as never }),
    allocatedBytes: allocatedBytes.toString(),
    message,
    removable: isRemovable(finding),
    ...(vmId === undefined ? {} : { vmId: vmId as never }),
    ...(backupId === undefined ? {} : { backupId: backupId as never }),
  };
}
