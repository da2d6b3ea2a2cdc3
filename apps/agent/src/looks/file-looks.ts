/**
 * The port to looks at files on targets (secondary storage, and primary pools): questions that change nothing and read no content but
 * small texts. None is asked inside the agent's own process: a hung mount makes the answer late, never the agent dead.
 * TIMED_OUT {path}: the target did not answer in time. Paths are absolute; which of them may be looked at is not decided here.
 */
export interface FileFacts {
  readonly kind: 'file' | 'directory' | 'other';
  /** Device and inode, as one text: equal for two names of one file. */
  readonly identity: string;
  readonly inode: bigint;
  /** Time of the last change in seconds, with its fraction, as text: only ever compared, and only with what the same agent was told. */
  readonly modified: string;
  readonly sizeBytes: bigint;
  /** Bytes really allocated. */
  readonly allocatedBytes: bigint;
}

export interface FileLooks {
  /**
   * Facts of those paths that exist (symbolic links followed). One that is absent has no entry, and neither has one that cannot be
   * looked at: where that makes a difference, `isAbsent` tells.
   */
  facts(paths: readonly string[]): Promise<Map<string, FileFacts>>;
  /** As `facts`, of names in one folder; symbolic links are themselves. A folder that does not exist has none. TOOL_FAILED. */
  entries(folder: string, names: readonly string[]): Promise<Map<string, FileFacts>>;
  /** Every name in a directory, sorted; a file, or a link to nothing, has none. Undefined when it cannot be read or does not exist. */
  names(directory: string): Promise<string[] | undefined>;
  /** True only when it is certain that there is nothing of that name, not a dangling link either; false also for what cannot be looked at. */
  isAbsent(path: string): Promise<boolean>;
  /**
   * Each path with every symbolic link resolved, in the given order; parts that do not exist stay as they are. TOOL_FAILED. `deadlineMs`:
   * for whoever cannot wait as long as the others.
   */
  realPaths(paths: readonly string[], deadlineMs?: number): Promise<string[]>;
  /** A file's text, cut off after so many bytes. Undefined when it does not exist. TOOL_FAILED. */
  text(path: string, mostBytes: number): Promise<string | undefined>;
  /** Of the file system that holds the path. TOOL_FAILED. */
  space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }>;
  /** True when the kernel would let the agent write there (mount and permissions, not space). Writes nothing. */
  isWritable(path: string): Promise<boolean>;
}
