/**
 * Do the disks that are about to be replaced still use the files that were planned to be replaced? Owns the comparison and its
 * error; asked before anything is written, and again right before the definition is switched: hours may lie between.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

/** A disk and the file that it uses; undefined: the VM has no such disk. */
export interface PlannedDisk {
  readonly target: string;
  readonly currentPath?: string | undefined;
}

/** The domain's first problem, or PLAN_OUTDATED for the first disk that is not as planned. */
export function demandUnchangedDisks(domain: ObservedDomain, disks: readonly PlannedDisk[]): void {
  const problem = domain.problems[0];
  if (problem) throw HoldfastError.fromData(problem);
  for (const { target, currentPath } of disks) {
    const disk = domain.disks.find((candidate) => candidate.target === target);
    // A disk whose image is lost has no layers; being able to restore it is the very purpose.
    const now = disk?.layers[0]?.path ?? disk?.definedPath;
    if (currentPath === undefined ? disk === undefined : now === currentPath) continue;
    throw new HoldfastError(
      'PLAN_OUTDATED',
      currentPath === undefined
        ? `VM ${domain.name} has a disk ${target} already.`
        : `Disk ${target} of VM ${domain.name} uses ${now ?? 'no file'} now, not ${currentPath}.`,
      { vmId: domain.uuid, target },
    );
  }
}
