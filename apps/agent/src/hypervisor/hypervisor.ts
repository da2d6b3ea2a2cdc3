/**
 * The port to libvirt and QEMU. Owns the words that commands use for a hypervisor; every method is one short call with
 * its own deadline, never waits for a block job, never decides. Must not know of backups, operations or storages.
 *
 * Obligations of every implementation:
 * - no libvirtd, or no answer within the deadline: HYPERVISOR_UNAVAILABLE or TIMED_OUT (both retryable). A timed-out call
 *   is *unknown*, not failed: callers observe before they go on.
 * - libvirt refused: TOOL_FAILED with fields {tool, exitCode, stderr}; nobody decides by the text.
 * - an unknown domain: NOT_FOUND.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';

/** A block job as libvirt reports it. Absence proves nothing: judge by the observed chain. */
export interface BlockJob {
  /** Of an intermediate layer, of the active one, or (a copy, a pull, a backup) never ours. */
  readonly kind: 'commit' | 'active-commit' | 'other';
  readonly cur: bigint;
  readonly end: bigint;
}

export interface CommitWish {
  /** Layer to merge … */
  readonly top: string;
  /** … into this one, its direct backing file. */
  readonly base: string;
  /** top is the active layer: the job becomes ready and needs a pivot. */
  readonly active: boolean;
}

export interface Hypervisor {
  /** True when libvirtd answers within a short deadline. */
  available(): Promise<boolean>;
  versions(): Promise<{ libvirt: string; qemu: string }>;

  /**
   * The domain as it really is (see ObservedDomain): live and persistent definition compared with each other and with
   * QEMU's query-block, each layer of each chain looked at in its header, orphaned QEMU processes found by pid file and
   * image locks. Undefined when no orphan runs and libvirt does not know it, or has no more than what a migration left behind.
   */
  observe(uuid: string): Promise<ObservedDomain | undefined>;
  /** All domains, for inventory, as `observe` has them. A domain that cannot be observed is present with a problem. */
  observeAll(): Promise<ObservedDomain[]>;
  /** Every path in the chains of all *other* domains of this host, running or not: what must not be deleted. */
  pathsInUseByOthers(uuid: string): Promise<ReadonlySet<string>>;

  /** The definition: `live` of a running domain (as at this moment), `persistent` as it would start. */
  domainXml(uuid: string, which: 'live' | 'persistent'): Promise<string>;
  define(xml: string): Promise<void>;
  /** True when two definitions mean the same disks: used to see whether a define has happened. */
  definedSources(uuid: string): Promise<ReadonlyMap<string, string>>;

  /**
   * One atomic external disk-only snapshot without metadata of exactly these disks. Never with --quiesce.
   * Works on running and stopped domains.
   */
  snapshotDisks(uuid: string, disks: readonly { target: string; newPath: string }[]): Promise<void>;

  /**
   * Drops libvirt's own record of one of its snapshots; its files and the VM's disks stay, snapshots made after it get its
   * parent. One that libvirt has no record of is fine.
   */
  forgetSnapshot(uuid: string, name: string): Promise<void>;

  /** True when libvirt holds the memory of the stopped domain (virsh managedsave): its next start takes the disks named there. */
  hasSavedState(uuid: string): Promise<boolean>;
  /** Names of libvirt's checkpoints of the VM: other backup tools make them. */
  checkpoints(uuid: string): Promise<readonly string[]>;
  /** The file of each disk, by target, that the saved state of the domain will start with. Ask only when it has one. */
  savedSources(uuid: string): Promise<ReadonlyMap<string, string>>;

  /**
   * Asks the guest to freeze, waiting for it at most so long. A timeout is unknown: the freeze may still happen. How many file
   * systems it froze; a guest that has none is not frozen.
   */
  freeze(uuid: string, timeoutMs: number): Promise<number>;
  thaw(uuid: string, timeoutMs: number): Promise<void>;
  freezeStatus(uuid: string, timeoutMs: number): Promise<'frozen' | 'thawed'>;

  suspend(uuid: string): Promise<void>;
  resume(uuid: string): Promise<void>;

  /** Starts a block commit and returns. */
  startCommit(uuid: string, target: string, wish: CommitWish): Promise<void>;
  blockJob(uuid: string, target: string): Promise<BlockJob | undefined>;
  /** The file that the disk's ready job would switch to; undefined when there is none. */
  pivotTarget(uuid: string, target: string): Promise<string | undefined>;
  /** Ends a ready active commit by switching to the lower layer. Call only while suspended and cur == end. */
  pivot(uuid: string, target: string): Promise<void>;

  /**
   * Mends HYPERVISOR_OUT_OF_STEP (finding A): QEMU writes to an overlay that libvirt does not know. First the persistent
   * definition is pointed at what QEMU really uses, then the overlay is committed down and pivoted through QMP while the
   * guest is suspended, so that QEMU is back on the file that libvirt names; then the definition is set to it, and the
   * guest resumed. Returns the paths that QEMU does not use any more. Safe to repeat after a death anywhere in it,
   * and to call twice at once: the second waits for the first.
   */
  bringQemuBackInStep(uuid: string): Promise<string[]>;
  /**
   * Lets the QEMU of a running VM close these files, as far as no disk uses them: libvirtd died after it had them opened
   * for a snapshot and before the snapshot.
   */
  releaseUnusedLayers(uuid: string, paths: readonly string[]): Promise<void>;
  /**
   * Mends what can be mended of ORPHANED_QEMU (finding B): points the persistent definition at the files that the orphan
   * has open (asked through its own monitor socket) and resumes a paused orphan. The VM stays a problem until it is
   * restarted by its owner.
   */
  tendOrphan(uuid: string): Promise<void>;
}
