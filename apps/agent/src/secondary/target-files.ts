/**
 * The port to files on targets (secondary storage, and primary pools): every call is a child process with a deadline, so
 * that a hung mount makes an operation late and never the agent dead. TIMED_OUT from here means STORAGE_HANGING to callers.
 * Every path must be inside one of the known roots (PATH_OUTSIDE_POOLS); symbolic links that lead out are refused.
 */
import type { FileFacts } from '../looks/file-looks.js';

/** A file or directory somewhere below another; symbolic links are themselves. */
export interface TreeEntry {
  /** Relative to the directory that was asked for. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: bigint;
  readonly allocatedBytes: bigint;
  readonly inode: bigint;
}

export interface TargetFiles {
  /** Undefined when it does not exist. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** True when the kernel would let this process write there (mount and permissions, not space). Writes nothing: a death leaves nothing. */
  isWritable(path: string): Promise<boolean>;
  /** Names in a directory, sorted; undefined when it does not exist. */
  list(path: string): Promise<string[] | undefined>;
  /**
   * Everything below a directory, sorted by path; undefined when it does not exist. `named`: only what one of these globs
   * of `find -name` fits. One call, however deep: as long as a slow storage needs.
   */
  tree(path: string, options?: { named?: readonly string[]; signal?: AbortSignal }): Promise<TreeEntry[] | undefined>;
  /** Small text files only (≤ 1 MiB). Undefined when it does not exist. */
  readText(path: string): Promise<string | undefined>;
  /** Creates or replaces; content and file are fsynced before it returns. Not atomic: write to a .partial name and rename. */
  writeText(path: string, text: string): Promise<void>;
  /** The copy is fsynced before it returns. */
  copyFile(from: string, to: string): Promise<void>;
  /** Its parent must exist: nothing is made where a storage should be mounted. Existing is fine. */
  makeDirectory(path: string): Promise<void>;
  /** fsync of files or directories. */
  sync(paths: string | readonly string[], options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<void>;
  /** Rename inside one file system, replacing nothing: `from` must exist and `to` must not, or `to` must exist and `from` not (repeat of a done rename). */
  rename(from: string, to: string): Promise<void>;
  /**
   * Rename inside one file system that takes the place of `to`, at one instant: both must exist and be files, or `to` and not
   * `from` (repeat of a done replacement). The old file of that name is gone; whoever has it open still reads it.
   */
  replace(from: string, to: string): Promise<void>;
  /** Deletes a file; absent is fine. */
  remove(path: string): Promise<void>;
  /** Deletes an empty directory; absent is fine. */
  removeDirectory(path: string): Promise<void>;
  space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }>;
  /** `blake3:<hex>` of a file, by b3sum. */
  digest(path: string, options?: { signal?: AbortSignal }): Promise<string>;
}
