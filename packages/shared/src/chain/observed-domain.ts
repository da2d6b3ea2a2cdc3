/**
 * A VM as it really is: what libvirt, QEMU and the images show at one moment. Plain data for the pure planners.
 * Must not know how it was observed.
 */
import type { ErrorData } from '../errors/holdfast-error.js';

export type ImageFormat = 'qcow2' | 'raw';
export type PowerState = 'running' | 'paused' | 'shut-off' | 'other';

/** One file of a backing chain. */
export interface ObservedLayer {
  readonly path: string;
  readonly format: ImageFormat;
  readonly inode: bigint;
  readonly virtualSizeBytes: bigint;
  readonly allocatedBytes: bigint;
}

export interface ObservedDisk {
  /** libvirt target device, e.g. `vda`. */
  readonly target: string;
  readonly serial: string;
  readonly format: ImageFormat;
  readonly virtualSizeBytes: bigint;
  /** From the active layer (first) to the bottom. Of a running VM: as QEMU has it open, not as libvirt says. Empty with a refusal. */
  readonly layers: readonly ObservedLayer[];
  /** The source in the persistent definition; undefined for a transient domain. */
  readonly definedPath: string | undefined;
  /** Why it cannot be backed up. */
  readonly refusal: ErrorData | undefined;
}

/** What libvirt's own snapshot of a disk holds on to. */
export interface ObservedSnapshotDisk {
  readonly target: string;
  /** The layer that holds the snapshot's content. */
  readonly pinnedPath: string;
  readonly pinnedFormat: ImageFormat;
  /** The overlay that was put on it; empty: none, the snapshot is kept inside the image. */
  readonly overlayPath: string;
}

/** A snapshot that libvirt keeps record of: made by virsh or another tool, never by Holdfast. */
export interface ObservedSnapshot {
  readonly name: string;
  readonly parentName: string | undefined;
  readonly createdAtUnixMs: number;
  readonly current: boolean;
  /** It holds memory, or is kept inside an image: listed, and left to virsh. */
  readonly foreignKind: boolean;
  readonly disks: readonly ObservedSnapshotDisk[];
}

export interface ObservedDomain {
  readonly uuid: string;
  readonly name: string;
  readonly state: PowerState;
  readonly persistent: boolean;
  /** Names the QEMU process (boot id, pid and its start time): equal ids mean that it ran without a break. Undefined when stopped. */
  readonly runId?: string | undefined;
  /** The guest agent's channel is connected. */
  readonly guestAgent: boolean;
  readonly vcpus: number;
  readonly memoryBytes: bigint;
  readonly nvramPath: string | undefined;
  /** CD-ROM and floppy drives are left out. */
  readonly disks: readonly ObservedDisk[];
  readonly snapshots: readonly ObservedSnapshot[];
  /** DEFINITION_DRIFT, HYPERVISOR_OUT_OF_STEP, ORPHANED_QEMU: what makes work unsafe now. */
  readonly problems: readonly ErrorData[];
}
