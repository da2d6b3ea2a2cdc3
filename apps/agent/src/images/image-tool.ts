/**
 * The port to qemu-img. Owns the words for work on image files that no QEMU has open for writing. Formats are always
 * explicit; writes always need the image lock (never -U), so IMAGE_LOCKED means busy. Long calls take a signal and report progress.
 * Failures: IMAGE_LOCKED (a lock is held: decided by probing the lock, not by text), TOOL_FAILED {tool, exitCode, stderr},
 * TIMED_OUT, and STORAGE_FULL / PRIMARY_FULL are not decided here: the caller looks at free space after a failure.
 */
import type { ImageFormat, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

export interface ImageInfo {
  readonly path: string;
  readonly format: ImageFormat;
  readonly virtualSizeBytes: bigint;
  readonly allocatedBytes: bigint;
  /** As written in the header (may be relative); undefined without one. */
  readonly backingName: string | undefined;
  /** Absolute. */
  readonly backingPath: string | undefined;
  /** As written in the header; undefined: not written, which Holdfast refuses (no probing). */
  readonly backingFormat: ImageFormat | undefined;
}

export interface ChainWish {
  readonly path: string;
  readonly format: ImageFormat;
  /** Layers that are expected under it. Only a hint, which saves processes: what counts is what the headers say. */
  readonly expected?: readonly string[];
  /** A QEMU of this host has every layer open: headers that have not changed since they were read are not read again. */
  readonly held?: boolean;
}

export interface LongCall {
  readonly signal?: AbortSignal;
  /** Done share, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

export interface CopyWish extends LongCall {
  readonly sourcePath: string;
  readonly sourceFormat: ImageFormat;
  /** Absolute; must not exist. */
  readonly targetPath: string;
  readonly coroutines: number;
}

export interface ImageTool {
  version(): Promise<string>;
  /** Header only, without locks (-U): never evidence of wholeness. NOT_FOUND when the file is missing. */
  info(path: string, format: ImageFormat): Promise<ImageInfo>;
  /**
   * The chain of each disk from its path down, each layer with inode and sizes, in the given order; each backing format must
   * be in the header. A chain that cannot be read has its error in its place: BACKING_FILE_MISSING, PATH_OUTSIDE_POOLS
   * (fields: path, layer) name the layer.
   */
  chains(disks: readonly ChainWish[], allowedRoots: readonly string[]): Promise<(ObservedLayer[] | HoldfastError)[]>;
  /**
   * Where files really are: device and inode as one text (equal for two names of one file), and the name without symbolic
   * links. One call for all; a path that does not exist has no entry, and one that may exist and cannot be looked at is
   * TOOL_FAILED.
   */
  places(paths: readonly string[]): Promise<ReadonlyMap<string, { readonly identity: string; readonly realPath: string }>>;
  /** True when some process holds the image's write lock (probed without writing). */
  isLocked(path: string, format: ImageFormat): Promise<boolean>;

  /** True when nothing was ever written to this one qcow2 layer: no cluster of it stands for anything, not even for zeros. */
  isUntouched(path: string): Promise<boolean>;

  /** New qcow2 file; with backing: the name goes into the header as given. Fails when the path exists. */
  create(path: string, sizeBytes: bigint, backing?: { name: string; format: ImageFormat }): Promise<void>;
  /** Flattens the whole chain of the source into a new stand-alone qcow2. Not durable until the caller has synced the file. */
  flatten(wish: CopyWish): Promise<void>;
  /**
   * Copies what the source's single topmost layer holds onto an existing qcow2 target that has `backingName` in its header
   * (convert -n -B). The source's direct parent must have the content of the target's backing chain so far. Not durable
   * until the caller has synced the file.
   */
  copyLayerOnto(wish: CopyWish & { backingName: string }): Promise<void>;
  /**
   * qemu-img check; throws TOOL_FAILED when the image has errors or leaks. With `mendLeaks` clusters that nobody refers to
   * (what a killed writer leaves) are given back first: no content changes.
   */
  check(path: string, options?: { mendLeaks?: boolean }): Promise<void>;
  /**
   * Offline commit of `top` into `base`, its direct backing; `top` keeps its content (-d). `bytesPerSecond`: limit for what
   * is written into `base`; needs qemu-img 5.2.
   */
  commit(top: string, base: string, call?: LongCall & { readonly bytesPerSecond?: bigint }): Promise<void>;
  /** Only the backing name in the header changes (rebase -u): the caller has proven that the content stays. */
  repoint(path: string, backing: { name: string; format: ImageFormat } | undefined): Promise<void>;
  /** qemu-img compare of two chains. */
  equal(a: { path: string; format: ImageFormat }, b: { path: string; format: ImageFormat }, call?: LongCall): Promise<boolean>;
}
