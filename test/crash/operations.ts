/**
 * The operations that are crash-tested. Adding one means adding a line here; steps, breakpoints, faults and invariants
 * come by themselves.
 */
import type { OperationKind } from '@holdfast/shared/api/operations.js';
import type { CrashBench } from './crash-bench.js';
import { chainToDelete, concludeDelete, startDelete } from './deletion-moves.js';
import { concludeFinishChain, openChainWithNewContent, startFinishChain } from './finish-moves.js';

export interface CrashOperation {
  readonly name: string;
  /** The kind of the operation whose steps are struck. */
  readonly kind: OperationKind;
  /** Brings the VM to where the operation starts. Not struck. */
  prepare(bench: CrashBench): Promise<void>;
  /** Starts it; returns its operation id. */
  start(bench: CrashBench): Promise<string>;
  /** Takes note of what the finished operation has meant for the content model. */
  conclude(bench: CrashBench, operationId: string, succeeded: boolean): Promise<void>;
  /** It is cancelled, so that only its way back is struck; undisturbed it must not succeed. */
  readonly wayBack?: boolean;
}

const TAKE_BACKUP: CrashOperation = {
  name: 'TakeBackup',
  kind: 'TakeBackup',
  prepare: (bench) => bench.runningWithNewContent(),
  start: (bench) => bench.backups.start({ quiesce: 'require' }),
  conclude: async (bench, id, succeeded) => void (await bench.backups.conclude(id, succeeded)),
};

const RESTORE_BACKUP: CrashOperation = {
  name: 'RestoreBackup',
  kind: 'RestoreBackup',
  prepare: (bench) => bench.stoppedWithBackupAndNewContent(),
  start: (bench) => bench.backups.startRestore(),
  conclude: (bench, id, succeeded) => bench.backups.concludeRestore(id, succeeded),
};

const COMPACT_CHAIN: CrashOperation = {
  name: 'CompactChain',
  kind: 'CompactChain',
  prepare: (bench) => bench.compaction.before(),
  start: (bench) => bench.compaction.start(),
  conclude: (bench, _id, succeeded) => bench.compaction.conclude(succeeded),
};

const TAKE_VM_SNAPSHOT: CrashOperation = {
  name: 'TakeVmSnapshot',
  kind: 'TakeVmSnapshot',
  prepare: (bench) => bench.snapshots.beforeTaking('running'),
  start: (bench) => bench.snapshots.startTaking('require'),
  conclude: (bench, id, succeeded) => bench.snapshots.concludeTaking(id, succeeded),
};

const REVERT_VM_SNAPSHOT: CrashOperation = {
  name: 'RevertVmSnapshot',
  kind: 'RevertVmSnapshot',
  prepare: (bench) => bench.snapshots.beforeReverting(),
  start: (bench) => bench.snapshots.startReverting(),
  conclude: (bench, id, succeeded) => bench.snapshots.concludeReverting(id, succeeded),
};

/** The same operation, cancelled while it stands before a step. */
function cancelledBefore(step: string, operation: CrashOperation): CrashOperation {
  return {
    ...operation,
    name: `${operation.name}-cancelled`,
    start: (bench) => bench.strikes.cancelBefore({ step, subject: '' }, () => operation.start(bench)),
    wayBack: true,
  };
}

export const OPERATIONS: readonly CrashOperation[] = [
  TAKE_BACKUP,
  cancelledBefore('publish-files', TAKE_BACKUP),
  {
    name: 'TakeBackup-stopped',
    kind: 'TakeBackup',
    prepare: (bench) => bench.stoppedWithNewContent(),
    start: (bench) => bench.backups.start({ quiesce: 'no' }),
    conclude: async (bench, id, succeeded) => void (await bench.backups.conclude(id, succeeded)),
  },
  RESTORE_BACKUP,
  cancelledBefore('switch', RESTORE_BACKUP),
  {
    name: 'ReleaseFiles',
    kind: 'ReleaseFiles',
    prepare: (bench) => bench.release.before(),
    start: (bench) => bench.release.start(),
    conclude: (bench, _id, succeeded) => bench.release.conclude(succeeded),
  },
  {
    name: 'FinishBackupChain',
    kind: 'CleanupBackupError',
    prepare: (bench) => openChainWithNewContent(bench, 'running'),
    start: (bench) => startFinishChain(bench),
    conclude: (bench, _id, succeeded) => concludeFinishChain(bench, succeeded),
  },
  {
    name: 'FinishBackupChain-stopped',
    kind: 'CleanupBackupError',
    prepare: (bench) => openChainWithNewContent(bench, 'stopped'),
    start: (bench) => startFinishChain(bench),
    conclude: (bench, _id, succeeded) => concludeFinishChain(bench, succeeded),
  },
  COMPACT_CHAIN,
  cancelledBefore('absorb', COMPACT_CHAIN),
  {
    name: 'DeleteBackups',
    kind: 'DeleteBackups',
    // The third one closes the chain, so nothing of it is on primary.
    prepare: (bench) => chainToDelete(bench, 3),
    start: startDelete,
    conclude: concludeDelete,
  },
  {
    name: 'DeleteBackups-head',
    kind: 'DeleteBackups',
    prepare: (bench) => chainToDelete(bench, 2),
    start: startDelete,
    conclude: concludeDelete,
  },
  TAKE_VM_SNAPSHOT,
  cancelledBefore('look', TAKE_VM_SNAPSHOT),
  {
    name: 'TakeVmSnapshot-stopped',
    kind: 'TakeVmSnapshot',
    prepare: (bench) => bench.snapshots.beforeTaking('stopped'),
    start: (bench) => bench.snapshots.startTaking('no'),
    conclude: (bench, id, succeeded) => bench.snapshots.concludeTaking(id, succeeded),
  },
  REVERT_VM_SNAPSHOT,
  cancelledBefore('switch', REVERT_VM_SNAPSHOT),
  {
    name: 'DeleteVmSnapshots',
    kind: 'DeleteVmSnapshots',
    prepare: (bench) => bench.snapshots.beforeDeleting('running'),
    start: (bench) => bench.snapshots.startDeleting(),
    conclude: (bench, id, succeeded) => bench.snapshots.concludeDeleting(id, succeeded),
  },
  {
    name: 'DeleteVmSnapshots-stopped',
    kind: 'DeleteVmSnapshots',
    prepare: (bench) => bench.snapshots.beforeDeleting('stopped'),
    start: (bench) => bench.snapshots.startDeleting(),
    conclude: (bench, id, succeeded) => bench.snapshots.concludeDeleting(id, succeeded),
  },
];
