/**
 * The port to secondary storages: mounts as persisted leases. A lease (storage, operation) is written to the agent's state
 * before mounting; a storage is mounted while at least one lease names it; after a restart leases of operations that are no
 * longer unfinished are dropped and mounts without a lease are unmounted. `dir` storages need no mount and get leases alike.
 */
import type { StorageSpec } from './storage-spec.js';

export interface OpenStorage {
  /** Absolute path of the storage's root on this host. */
  readonly root: string;
}

export interface StorageLeases {
  /**
   * Mounts if needed and proves identity: holdfast.json with exactly this id.
   * STORAGE_MISSING, STORAGE_NOT_OURS, STORAGE_HANGING, STORAGE_READ_ONLY (only with `write`).
   */
  acquire(storage: StorageSpec, operationId: string, access: 'read' | 'write'): Promise<OpenStorage>;
  /** Drops the lease; unmounts when it was the last. Never throws for a busy or hung mount: it is tried again later. */
  release(storageId: string, operationId: string): Promise<void>;
  /** As InspectStorage of the protocol. With initialise writes holdfast.json into an empty place (STORAGE_NOT_EMPTY otherwise). */
  inspect(
    storage: StorageSpec,
    initialise: boolean,
  ): Promise<{ storageId: string; formatVersion: number; totalBytes: bigint; freeBytes: bigint; writable: boolean }>;
}
