/** Storage rows as the public API shows them, and as agents reach them. */
import type { Storage } from '@holdfast/shared/api/storage.js';
import type { StorageId, ZoneId } from '@holdfast/shared/ids/ids.js';
import type { StorageAccess } from '../persistence/agent-command.js';
import { errorView } from '../inventory/vm-view.js';
import type { StorageEntity } from '../persistence/entities/storage.entity.js';

const SECRET_OPTION = /^(password|pass|secret|secretkey|key|credentials_secret)=/i;

export function storageView(row: StorageEntity): Storage {
  return {
    id: row.id as StorageId,
    zoneId: row.zoneId as ZoneId,
    name: row.name,
    type: row.type,
    source: row.source,
    options: row.options.split(',').map(withoutSecret).join(','),
    readOnly: row.readOnly,
    ...(row.totalBytes === null ? {} : { totalBytes: row.totalBytes.toString() }),
    ...(row.freeBytes === null ? {} : { freeBytes: row.freeBytes.toString() }),
    ...(row.problem === null ? {} : { problem: errorView(row.problem) }),
    ...(row.checkedAt === null ? {} : { checkedAt: row.checkedAt.toISOString() }),
    createdAt: row.createdAt.toISOString(),
  };
}

export function storageAccess(row: Pick<StorageEntity, 'id' | 'name' | 'type' | 'source' | 'options'>): StorageAccess {
  return { id: row.id, name: row.name, type: row.type, source: row.source, options: row.options };
}

function withoutSecret(option: string): string {
  const name = SECRET_OPTION.exec(option.trim())?.[1];
  return name === undefined ? option : `${name}=***`;
}
