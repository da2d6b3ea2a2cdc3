/** Chooses the secondary storage of a backup, and says why. Pure. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { formatBytes } from '@holdfast/shared/units/bytes.js';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';

export interface StorageCandidate {
  readonly id: string;
  readonly name: string;
  readonly readOnly: boolean;
  readonly problem: ErrorData | null;
  readonly freeBytes: bigint | null;
}

export interface StorageWish {
  readonly zoneName: string;
  /** What a full backup needs. */
  readonly fullBytes: bigint;
  /** The storage of the open chain, and what continuing it there needs. */
  readonly chain: { readonly storageId: string; readonly neededBytes: bigint } | undefined;
}

export interface StorageChoice {
  readonly storageId: string;
  readonly reason: string;
}

/** The open chain's storage while it can take more; otherwise the one with most free space. STORAGE_MISSING or STORAGE_FULL when none can. */
export function selectStorage(candidates: readonly StorageCandidate[], wish: StorageWish): StorageChoice {
  const chained = candidates.find((storage) => storage.id === wish.chain?.storageId);
  if (chained !== undefined && wish.chain !== undefined && usable(chained) && hasRoom(chained, wish.chain.neededBytes)) {
    return { storageId: chained.id, reason: `the open chain is on "${chained.name}"` };
  }
  const left = chained === undefined ? '' : `; the open chain is on "${chained.name}", which ${whyNot(chained)}`;
  const able = candidates.filter(usable);
  if (able.length === 0) {
    const all = candidates.map((storage) => `"${storage.name}" ${whyNot(storage)}`).join('; ');
    const way =
      candidates.length === 0
        ? 'It has none: create one with "holdfast storage create".'
        : `${all}. Mend one of them or create another.`;
    throw new HoldfastError(
      'STORAGE_MISSING',
      `The zone "${wish.zoneName}" has no secondary storage that takes backups now. ${way}`,
      { zone: wish.zoneName },
    );
  }
  const [best] = [...able].sort((a, b) => compare(b.freeBytes ?? 0n, a.freeBytes ?? 0n) || a.name.localeCompare(b.name, 'en'));
  if (best === undefined || !hasRoom(best, wish.fullBytes)) {
    throw new HoldfastError(
      'STORAGE_FULL',
      `The backup may need ${formatBytes(wish.fullBytes)}, and no secondary storage of the zone "${wish.zoneName}" has that much free: "${best?.name ?? ''}" has most, ${formatBytes(best?.freeBytes ?? 0n)}. Delete backups or add a storage.`,
      { zone: wish.zoneName, neededBytes: wish.fullBytes.toString() },
    );
  }
  return { storageId: best.id, reason: `"${best.name}" has most free space, ${formatBytes(best.freeBytes ?? 0n)}${left}` };
}

function usable(storage: StorageCandidate): boolean {
  return !storage.readOnly && storage.problem === null && storage.freeBytes !== null;
}

function hasRoom(storage: StorageCandidate, bytes: bigint): boolean {
  return (storage.freeBytes ?? 0n) >= bytes;
}

function whyNot(storage: StorageCandidate): string {
  if (storage.readOnly) return 'is read-only';
  if (storage.problem !== null) return `has a problem: ${storage.problem.message}`;
  if (storage.freeBytes === null) return 'has not been looked at yet';
  return `has too little room (${formatBytes(storage.freeBytes)} free)`;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
