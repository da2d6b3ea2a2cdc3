/**
 * What compaction writes into manifests: the marks of the two backups, and at the end the child as a full backup. Pure:
 * text in, text out; fields that this version does not know stay as they are.
 */
import { manifestSchema, type Compaction } from './manifest.js';

/** A merged volume as it lies on storage at the end. */
export interface CompactedVolume {
  readonly key: string;
  /** Decimal. */
  readonly sizeBytes: string;
  readonly digest: string;
}

/** The manifest with this mark; undefined: without any. */
export function withCompaction(text: string, mark: Compaction | undefined): string {
  const rest = without(JSON.parse(text) as Record<string, unknown>, 'compaction');
  return manifestText(mark === undefined ? rest : { ...rest, compaction: mark });
}

/** The child's manifest when nothing is left to merge: full, without a parent, each volume of `volumes` standing alone. */
export function compactedManifest(text: string, volumes: readonly CompactedVolume[]): string {
  const rest = without(JSON.parse(text) as Record<string, unknown>, 'compaction', 'parentBackupId');
  const entries = (rest['volumes'] as Record<string, unknown>[]).map((entry) => {
    const now = volumes.find(({ key }) => key === entry['key']);
    if (now === undefined) return entry;
    return { ...without(entry, 'parentFile'), sizeBytes: now.sizeBytes, digest: now.digest };
  });
  return manifestText({ ...rest, type: 'FULL', volumes: entries });
}

function without(object: Record<string, unknown>, ...keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

/** As manifests are written. A form that nobody could read is thrown, never written. */
function manifestText(manifest: object): string {
  manifestSchema.parse(manifest);
  return `${JSON.stringify(manifest, null, 2)}\n`;
}
