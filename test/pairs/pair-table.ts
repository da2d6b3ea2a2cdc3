/**
 * What the second of two operations comes to: the table operation × operation of ARCHITECTURE.md as data. Each world begins
 * with an open chain of two backups, the newer one its head. Owns the expectations and nothing else.
 */
/** Row: the one that runs. Column: the one that arrives. `done`: both did all that they would have done alone. */
const TABLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  backup: {
    backup: 'done: incremental; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    // The one that was the head is a parent by then: it stays for its child.
    'delete-backups': 'done; the chain is open',
    'take-snapshot': 'done; the chain is open',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is open',
    compaction: 'done; the chain is open',
    'release-files': 'done; the chain is open',
    'virsh-snapshot': 'done: incremental; the chain is open',
    'edited-definition': 'done: incremental; the chain is open',
    migration: 'done: incremental; the chain is open',
  },
  restore: {
    backup: 'done: full; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'refused IN_USE; the chain is ended',
    'take-snapshot': 'done; the chain is ended',
    'revert-snapshot': 'failed NOT_FOUND; the chain is ended',
    // It is gone, as was wished.
    'delete-snapshot': 'done; the chain is ended',
    compaction: 'done; the chain is ended',
    'release-files': 'done; the chain is ended',
    // Planned anew: the layer is one of the files that the restore leaves behind.
    'virsh-snapshot': 'done; the chain is ended',
    'edited-definition': 'done; the chain is ended',
  },
  'finish-chain': {
    backup: 'done: full; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'done; the chain is ended',
    'take-snapshot': 'done; the chain is ended',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is ended',
    compaction: 'done; the chain is ended',
    'release-files': 'done; the chain is ended',
    'virsh-snapshot': 'done; the chain is ended',
    'edited-definition': 'done; the chain is ended',
    // What is left of it is done where the VM is then.
    migration: 'failed NOT_FOUND; the chain is ended',
  },
  'delete-backups': {
    backup: 'done: full; the chain is open',
    restore: 'refused WRONG_STATE; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'done; the chain is ended',
    'take-snapshot': 'done; the chain is ended',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is ended',
    compaction: 'failed WRONG_STATE; the chain is ended',
    'release-files': 'done; the chain is ended',
    'virsh-snapshot': 'done; the chain is ended',
    'edited-definition': 'done; the chain is ended',
    migration: 'done; the chain is ended',
  },
  'take-snapshot': {
    backup: 'done: incremental; the chain is open',
    restore: 'failed VM_HAS_SNAPSHOTS; the chain is open',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'done; the chain is ended',
    'take-snapshot': 'done; the chain is open',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is open',
    compaction: 'done; the chain is open',
    'release-files': 'done; the chain is open',
    'virsh-snapshot': 'done; the chain is open',
    'edited-definition': 'done; the chain is open',
    // The new layers are merged where the VM is then.
    migration: 'failed NOT_FOUND; the chain is open',
  },
  'revert-snapshot': {
    backup: 'done: full; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'done; the chain is ended',
    'take-snapshot': 'done; the chain is ended',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is ended',
    compaction: 'done; the chain is ended',
    'release-files': 'done; the chain is ended',
    'virsh-snapshot': 'done; the chain is ended',
    'edited-definition': 'done; the chain is ended',
  },
  'delete-snapshot': {
    backup: 'done: incremental; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'done; the chain is ended',
    'take-snapshot': 'done; the chain is open',
    'revert-snapshot': 'refused WRONG_STATE; the chain is open',
    'delete-snapshot': 'refused WRONG_STATE; the chain is open',
    compaction: 'done; the chain is open',
    'release-files': 'done; the chain is open',
    'virsh-snapshot': 'done; the chain is open',
    'edited-definition': 'done; the chain is open',
    migration: 'done; the chain is open',
  },
  compaction: {
    backup: 'done: incremental; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'refused IN_USE; the chain is open',
    'take-snapshot': 'done; the chain is open',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is open',
    compaction: 'failed WRONG_STATE; the chain is open',
    'release-files': 'done; the chain is open',
    'virsh-snapshot': 'done; the chain is open',
    'edited-definition': 'done; the chain is open',
    migration: 'done; the chain is open',
  },
  'release-files': {
    backup: 'done: incremental; the chain is open',
    restore: 'done; the chain is ended',
    'finish-chain': 'done; the chain is ended',
    'delete-backups': 'done; the chain is ended',
    'take-snapshot': 'done; the chain is open',
    'revert-snapshot': 'done; the chain is ended',
    'delete-snapshot': 'done; the chain is open',
    compaction: 'done; the chain is open',
    'release-files': 'refused NOT_FOUND; the chain is open',
    'virsh-snapshot': 'done; the chain is open',
    'edited-definition': 'done; the chain is open',
    migration: 'done; the chain is open',
  },
};

/** Throws for a pair that the table does not have. */
export function expectedOutcome(first: string, second: string): string {
  const outcome = TABLE[first]?.[second];
  if (outcome === undefined) throw new Error(`the table says nothing of ${first} x ${second}`);
  return outcome;
}
