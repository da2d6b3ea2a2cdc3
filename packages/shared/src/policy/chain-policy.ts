/**
 * Decides what the next backup of a VM is: full or incremental, on which parent, whether it closes its chain, and which
 * volumes are copied whole. Pure: rows in, decision with reasons out. Must not choose storages nor look at disks.
 */

export const DEFAULT_CHAIN_SIZE = 8;

/** The newest backup of the VM's open chain. */
export interface ChainHead {
  readonly id: string;
  /** Backups in its chain, itself included. */
  readonly chainLength: number;
  readonly storageId: string;
  /** True, or why no backup can be put on it, as a whole phrase: "the previous backup is damaged". */
  readonly continuable: true | string;
}

export interface PolicyVolume {
  readonly key: string;
  readonly target: string;
  /** True when what was written since the head is tracked by a delta; else why not: "it was attached after the last backup". */
  readonly deltaUsable: true | string;
}

export interface BackupWish {
  readonly isolated: boolean;
}

export interface PolicyInput {
  readonly wish: BackupWish;
  /** The offering's, else the setting `backup.chain.size`, else undefined (8). 1: always full; below 1: unlimited. */
  readonly chainSize: number | undefined;
  /** Undefined: no open chain. */
  readonly head: ChainHead | undefined;
  readonly selectedStorageId: string;
  readonly volumes: readonly PolicyVolume[];
}

export interface VolumeDecision {
  readonly key: string;
  readonly copyInFull: boolean;
  /** Why a volume of an incremental backup is copied in full. */
  readonly reason?: string;
}

export interface BackupDecision {
  readonly type: 'FULL' | 'INCREMENTAL';
  /** Why it is full; absent when incremental. */
  readonly reason?: string;
  readonly parentId?: string;
  readonly endOfChain: boolean;
  readonly isolated: boolean;
  readonly volumes: readonly VolumeDecision[];
}

/** The decision. An isolated backup leaves the open chain as it is; any other full backup begins a chain of its own. */
export function decideBackup(input: PolicyInput): BackupDecision {
  const size = input.chainSize ?? DEFAULT_CHAIN_SIZE;
  const reason = whyFull(input, size);
  if (reason !== undefined || input.head === undefined) {
    return {
      type: 'FULL',
      reason: reason ?? 'the VM has no open backup chain',
      endOfChain: !input.wish.isolated && size === 1,
      isolated: input.wish.isolated,
      volumes: input.volumes.map(({ key }) => ({ key, copyInFull: true })),
    };
  }
  return {
    type: 'INCREMENTAL',
    parentId: input.head.id,
    endOfChain: size >= 1 && input.head.chainLength + 1 >= size,
    isolated: false,
    volumes: input.volumes.map(({ key, deltaUsable }) =>
      deltaUsable === true ? { key, copyInFull: false } : { key, copyInFull: true, reason: deltaUsable },
    ),
  };
}

function whyFull({ wish, head, selectedStorageId, volumes }: PolicyInput, size: number): string | undefined {
  if (wish.isolated) return 'an isolated backup is always full';
  if (size === 1) return 'the chain size is 1, so every backup is full';
  if (head === undefined) return 'the VM has no open backup chain';
  if (head.continuable !== true) return `the open chain cannot be continued: ${head.continuable}`;
  if (size >= 1 && head.chainLength >= size)
    return `the open chain holds ${head.chainLength} backups already and the chain size is ${size}`;
  if (head.storageId !== selectedStorageId) return 'another secondary storage was selected, and a chain lives on one storage';
  const unusable = volumes.filter((volume) => volume.deltaUsable !== true);
  if (volumes.length > 0 && unusable.length === volumes.length) {
    return `no volume has a usable delta (${unusable.map(({ target, deltaUsable }) => `${target}: ${deltaUsable}`).join('; ')})`;
  }
  return undefined;
}
