/** Plans a restore: which file replaces which disk, what comes back, what is merged. Pure. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { restoredPath } from '../backups/delta-paths.js';
import type { MergeVolume } from '../persistence/agent-command.js';
import { settleVolume, type SettleRows } from '../primary/plan-settle.js';

export interface RestoreVolumeFacts {
  readonly id: string;
  readonly target: string;
  readonly attached: boolean;
  readonly basePath: string;
  readonly templatePath: string | null;
  readonly layers: readonly { readonly path: string }[];
}

export interface RestoreFacts extends SettleRows {
  readonly operationId: string;
  /** The domain does not exist any more and is defined from the manifest. */
  readonly vmIsGone: boolean;
  readonly backupName: string;
  readonly backupVolumes: readonly { readonly key: string; readonly target: string }[];
  /** All volumes of the VM that are known, attached or not. */
  readonly volumes: readonly RestoreVolumeFacts[];
}

export interface RestorePlan {
  readonly volumes: readonly {
    readonly key: string;
    readonly target: string;
    readonly currentPath: string;
    readonly newPath: string;
    readonly templatePath: string;
  }[];
  /** Volumes that the backup does not know. Nothing is pinned any more: the snapshots of the VM end with its old tree. */
  readonly mergeVolumes: readonly MergeVolume[];
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** Throws BUG for a volume of the backup that has no record: its place on primary is not known. */
export function planRestore(facts: RestoreFacts): RestorePlan {
  const taken = new Set<string>();
  const attached = facts.vmIsGone ? [] : facts.volumes.filter((volume) => volume.attached);
  const targets = new Set(attached.map((volume) => volume.target));
  const volumes = facts.backupVolumes.map(({ key, target: targetThen }) => {
    const volume = facts.volumes.find((candidate) => candidate.id === key);
    if (volume === undefined)
      throw new HoldfastError('BUG', `The volume ${key} of the backup "${facts.backupName}" is not on record.`, {
        volumeId: key,
      });
    const isAttached = attached.includes(volume);
    const target = isAttached ? volume.target : freeTarget(targetThen, targets);
    targets.add(target);
    return {
      key,
      target,
      currentPath: isAttached ? (volume.layers[0]?.path ?? '') : '',
      newPath: restoredPath(volume.basePath, target, facts.operationId, taken),
      templatePath: isAttached ? (volume.templatePath ?? '') : '',
    };
  });
  const restored = new Set(facts.backupVolumes.map(({ key }) => key));
  const mergeVolumes = attached
    .filter((volume) => !restored.has(volume.id))
    .map((volume) => settleVolume(volume, facts, []))
    .filter((volume) => volume.deltaPaths.length > 0);
  return { volumes, mergeVolumes };
}

/** The target that the disk had then, or the first free one of the same bus. */
function freeTarget(wanted: string, taken: ReadonlySet<string>): string {
  if (!taken.has(wanted)) return wanted;
  const prefix = wanted.replace(/[a-z]$/, '');
  for (const letter of LETTERS) if (!taken.has(prefix + letter)) return prefix + letter;
  throw new HoldfastError(
    'WRONG_STATE',
    `The VM has no free target like ${wanted} for a disk that comes back. Detach a disk first.`,
    { target: wanted },
  );
}
