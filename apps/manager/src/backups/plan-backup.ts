/**
 * Plans one backup: from what is known and observed to what the agent is told. Pure: rows in, plan with reasons out.
 * Chain policy decides full or incremental; this adds paths, the deltas to merge, room and storage.
 */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { backupFolder, parentVolumeFile, volumeFile } from '@holdfast/shared/manifest/paths.js';
import { decideBackup, type BackupDecision, type ChainHead } from '@holdfast/shared/policy/chain-policy.js';
import { pinsOf, type Pins } from '../primary/pins.js';
import type { PinnedLayer } from '../persistence/agent-command.js';
import { selectStorage, type StorageCandidate, type StorageChoice } from '../storage/select-storage.js';
import { deltaPath } from './delta-paths.js';

export interface PlanLayer {
  readonly path: string;
  readonly inode: string;
  readonly allocatedBytes: string;
}

/** An attached volume as just observed. */
export interface PlanVolume {
  readonly id: string;
  readonly target: string;
  readonly virtualSizeBytes: bigint;
  /** From the active layer down. */
  readonly layers: readonly PlanLayer[];
  readonly basePath: string;
  readonly templatePath: string | null;
  readonly refusal: ErrorData | null;
}

export interface PlanDelta {
  readonly volumeId: string;
  readonly backupId: string;
  readonly path: string;
  readonly inode: bigint | null;
  readonly state: 'Intended' | 'Present' | 'Leftover';
}

export interface PlanFacts {
  readonly vmId: string;
  readonly zoneName: string;
  readonly backupId: string;
  readonly isolated: boolean;
  readonly chainSize: number;
  readonly head: ChainHead | undefined;
  /** Why there is no open chain any more. */
  readonly chainEndedReason: string | null;
  readonly volumes: readonly PlanVolume[];
  readonly deltas: readonly PlanDelta[];
  /** What VM snapshots of Holdfast hold. */
  readonly pins: Pins;
  readonly storages: readonly StorageCandidate[];
}

/** Field for field what a TakeBackupVolume says, and what the backup's row records. */
export interface PlannedVolume {
  readonly key: string;
  readonly target: string;
  readonly activePath: string;
  readonly newDeltaPath: string;
  readonly parentDeltaPath: string;
  readonly parentDeltaInode: string;
  readonly mergeDeltaPaths: string[];
  readonly templatePath: string;
  readonly pins: readonly PinnedLayer[];
  /** Relative to the storage root. */
  readonly file: string;
  readonly parentFile: string | undefined;
  readonly copiedInFull: boolean;
  readonly copiedInFullReason: string | undefined;
}

export interface BackupPlan {
  readonly decision: BackupDecision;
  readonly fullReason: string | undefined;
  readonly storage: StorageChoice;
  readonly volumes: readonly PlannedVolume[];
}

/** Throws STORAGE_MISSING or STORAGE_FULL. The volumes must have been found fit before. */
export function planBackup(facts: PlanFacts): BackupPlan {
  const policyVolumes = facts.volumes.map((volume) => ({
    key: volume.id,
    target: volume.target,
    deltaUsable: deltaUsable(volume, facts),
  }));
  const decide = (selectedStorageId: string): BackupDecision =>
    decideBackup({
      wish: { isolated: facts.isolated },
      chainSize: facts.chainSize,
      head: facts.head,
      selectedStorageId,
      volumes: policyVolumes,
    });

  const onChain = facts.head === undefined ? undefined : decide(facts.head.storageId);
  const storage = selectStorage(facts.storages, {
    zoneName: facts.zoneName,
    fullBytes: neededBytes(facts, undefined),
    chain:
      facts.head === undefined || onChain === undefined || onChain.isolated
        ? undefined
        : { storageId: facts.head.storageId, neededBytes: neededBytes(facts, onChain) },
  });
  const decision = decide(storage.storageId);
  const taken = new Set<string>();
  return {
    decision,
    fullReason: fullReason(decision, facts),
    storage,
    volumes: facts.volumes.map((volume) => planVolume(volume, facts, decision, taken)),
  };
}

function planVolume(volume: PlanVolume, facts: PlanFacts, decision: BackupDecision, taken: Set<string>): PlannedVolume {
  const active = volume.layers[0]?.path ?? '';
  const how = decision.volumes.find((candidate) => candidate.key === volume.id);
  const copiedInFull = how?.copyInFull ?? true;
  const parentDelta = copiedInFull ? undefined : headDelta(volume, facts);
  const newDeltaPath = deltaPath(active, volume.basePath, volume.target, facts.backupId, taken);
  const old = facts.deltas
    .filter((delta) => delta.volumeId === volume.id && volume.layers.some((layer) => layer.path === delta.path))
    .map((delta) => delta.path);
  const ownGoesToo = decision.isolated || decision.endOfChain;
  return {
    key: volume.id,
    target: volume.target,
    activePath: active,
    newDeltaPath,
    parentDeltaPath: parentDelta?.path ?? '',
    parentDeltaInode: (parentDelta?.inode ?? 0n).toString(),
    // An isolated backup leaves the open chain, and so the head's delta, as it is.
    mergeDeltaPaths: [...(decision.isolated ? [] : old), ...(ownGoesToo ? [newDeltaPath] : [])],
    templatePath: volume.templatePath ?? '',
    pins: pinsOf(facts.pins, volume.id),
    file: `${backupFolder(facts.vmId, facts.backupId)}/${volumeFile(volume.id)}`,
    parentFile: copiedInFull || decision.parentId === undefined ? undefined : parentVolumeFile(decision.parentId, volume.id),
    copiedInFull,
    copiedInFullReason: how?.reason,
  };
}

/** True when what was written since the head is in a delta that is where it was; else why not. */
function deltaUsable(volume: PlanVolume, facts: PlanFacts): true | string {
  const delta = headDelta(volume, facts);
  if (delta === undefined)
    return 'no delta tracks what was written to it since the last backup (it is new, or was reverted to a snapshot)';
  const layer = volume.layers.find((candidate) => candidate.path === delta.path);
  if (layer === undefined) return 'its delta is no longer in the chain of the disk';
  if (delta.inode !== null && layer.inode !== delta.inode.toString())
    return 'its delta was replaced by another file of the same name';
  return true;
}

function headDelta(volume: PlanVolume, facts: PlanFacts): PlanDelta | undefined {
  return facts.deltas.find(
    (delta) => delta.volumeId === volume.id && delta.backupId === facts.head?.id && delta.state === 'Present',
  );
}

/** Upper bound of what the files on storage take: the allocated bytes that are read. `decision` undefined: everything in full. */
function neededBytes(facts: PlanFacts, decision: BackupDecision | undefined): bigint {
  let sum = 0n;
  for (const volume of facts.volumes) {
    const inFull = decision?.volumes.find((candidate) => candidate.key === volume.id)?.copyInFull ?? true;
    const parent = inFull ? undefined : headDelta(volume, facts);
    const below = volume.layers.findIndex((layer) => layer.path === parent?.path);
    const read = below === -1 ? volume.layers : volume.layers.slice(0, below + 1);
    sum += read.reduce((bytes, layer) => bytes + BigInt(layer.allocatedBytes), 0n);
  }
  return sum;
}

function fullReason(decision: BackupDecision, facts: PlanFacts): string | undefined {
  if (decision.reason === undefined) return undefined;
  const explains = facts.head === undefined && !facts.isolated && facts.chainSize !== 1 && facts.chainEndedReason !== null;
  return explains ? `${decision.reason}: ${facts.chainEndedReason}` : decision.reason;
}
