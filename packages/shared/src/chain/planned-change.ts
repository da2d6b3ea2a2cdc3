/**
 * What a clean-up of primary chains and leftovers will do, thing by thing, and how that is said in words. Pure. Must not plan:
 * plan-chain.ts does.
 */
export interface PlannedChange {
  readonly action: 'merge' | 'delete' | 'keep' | 'gone' | 'delete-if-unused' | 'remove-unfinished';
  /** libvirt target device. */
  readonly target?: string;
  readonly path?: string;
  readonly into?: string;
  /** A phrase that follows "stays, because ". */
  readonly because?: string;
  readonly backupId?: string;
  /** For words only. */
  readonly storageName?: string;
}

/** One sentence. */
export function plannedChangeInWords({ action, target, path, into, because, backupId, storageName }: PlannedChange): string {
  switch (action) {
    case 'merge':
      return `${target}: merge ${path} into ${into}, then delete it`;
    case 'delete':
      return `${target}: delete ${path}, which nothing needs`;
    case 'keep':
      return `${target}: ${path} stays, because ${because}`;
    case 'gone':
      return `${target}: ${path} is gone already; nothing to merge`;
    case 'delete-if-unused':
      return `delete ${path}, if no VM uses it`;
    case 'remove-unfinished':
      return `remove the unfinished files of backup ${backupId} from storage "${storageName ?? ''}"`;
  }
}
