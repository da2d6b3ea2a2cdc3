/**
 * The invariants of ARCHITECTURE.md that can be seen at rest, of VMs, primary and secondary: I3, I4, I5 and I9, and I2 for the
 * backups of which there are reference copies. I1 is the caller's, who knows what the guest must see; I7 is test/agent's.
 */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { TestVm } from '../testbed/test-vm.js';
import { primaryViolations } from './primary-invariants.js';
import type { References } from './references.js';
import { secondaryViolations } from './secondary-invariants.js';
import type { StackStorage, SystemStack } from './system-stack.js';
import { WholeFiles } from './whole-files.js';

export interface InvariantScope {
  readonly stack: SystemStack;
  /** Every VM on the hosts of the stack: files of one that is not given would look like strays. */
  readonly vms: readonly TestVm[];
  readonly storages: readonly StackStorage[];
  readonly references: References;
  /** Files with names of ours that are rightly in no chain and in no list: those of disks that were detached. */
  readonly keptFiles?: ReadonlySet<string>;
  /** Targets that were reverted alone since their last backup: an open chain, and no delta of theirs. */
  readonly untracked?: ReadonlySet<string>;
}

/** Everything that is wrong, in words; empty when all invariants hold. */
export async function invariantViolations(scope: InvariantScope): Promise<string[]> {
  const { stack, storages, references } = scope;
  const found = await primaryViolations(scope);
  for (const { media, storage } of storages) {
    const published: Backup[] = [];
    // What was deleted and is kept for others is not listed unless asked for.
    for (const state of ['BackedUp', 'Removed'])
      published.push(...(await stack.api.list<Backup>('/backups', { storageId: storage.id, state })));
    found.push(...(await secondaryViolations({ root: media.path, published, references, whole: WholeFiles.on(media) })));
  }
  return found;
}

/** Throws with all that is wrong. */
export async function demandInvariants(scope: InvariantScope): Promise<void> {
  const found = await invariantViolations(scope);
  if (found.length > 0) throw new Error(`invariants are broken:\n  ${found.join('\n  ')}`);
}
