/**
 * The kinds of operations that can meet on one VM. Adding one means adding a line here and a row and a column to the table.
 * Owns what each needs, where it stands while another one arrives, and what it means for the content; no outcome.
 */
import type { OperationKind } from '@holdfast/shared/api/operations.js';
import type { Backup, Deletion } from '@holdfast/shared/api/backups.js';
import type { CrashBench } from '../crash/crash-bench.js';
import type { StepName } from '../crash/crash-case.js';
import { startFinishChain } from '../crash/finish-moves.js';
import type { PairWorld } from './pair-world.js';

/** What must be there before the first of two begins. */
export type Need = 'a Removed backup' | 'a VM snapshot' | 'files of a restore';

export interface PairKind {
  readonly name: string;
  readonly kind: OperationKind;
  readonly needs: readonly Need[];
  /** It wants a VM that is off; the others meet on a running one. */
  readonly off?: boolean;
  /** The moment at which it has begun and not ended. */
  readonly stands: StepName & { readonly phase: 'before' | 'after' };
  /** Asks for it; `meets` is the one that it arrives at. Undefined: nothing is to be done on a host. */
  start(world: PairWorld, meets?: PairKind): Promise<string | undefined>;
  /** The content model follows what it has done. Returns words on it where it can do more than one thing. */
  conclude(bench: CrashBench, operationId: string): Promise<string | void>;
}

export const PAIR_KINDS: readonly PairKind[] = [
  {
    name: 'backup',
    kind: 'TakeBackup',
    needs: [],
    stands: { step: 'publish-files', subject: '', phase: 'before' },
    start: ({ bench }) => bench.backups.start({}),
    conclude: describeBackup,
  },
  {
    name: 'restore',
    kind: 'RestoreBackup',
    needs: [],
    off: true,
    stands: { step: 'switch', subject: '', phase: 'before' },
    // Two of them restore different backups.
    start: ({ bench, older, newer }, meets) => bench.backups.startRestore(meets?.kind === 'RestoreBackup' ? older : newer),
    conclude: (bench, id) => bench.backups.returnToRestored(id),
  },
  {
    name: 'finish-chain',
    kind: 'CleanupBackupError',
    needs: [],
    stands: { step: 'merge', subject: 'vda.1', phase: 'after' },
    start: ({ bench }) => startFinishChain(bench),
    conclude: async () => {},
  },
  {
    name: 'delete-backups',
    kind: 'DeleteBackups',
    needs: [],
    stands: { step: 'merge', subject: 'vda.1', phase: 'after' },
    // The head of the chain, so that primary is concerned; the second of two finds the one below.
    async start({ bench, older, newer }, meets) {
      const ids = [meets?.kind === 'DeleteBackups' ? older : newer];
      return (await bench.stack.api.post<Deletion>('/backups/actions/delete', { ids })).operations[0]?.id;
    },
    conclude: (bench) => bench.backups.forgetDeleted(),
  },
  {
    name: 'take-snapshot',
    kind: 'TakeVmSnapshot',
    needs: [],
    stands: { step: 'look', subject: '', phase: 'before' },
    start: ({ bench }) => bench.snapshots.startTaking('no'),
    conclude: (bench, id) => bench.snapshots.concludeTaking(id, true),
  },
  {
    name: 'revert-snapshot',
    kind: 'RevertVmSnapshot',
    needs: ['a VM snapshot'],
    off: true,
    stands: { step: 'switch', subject: '', phase: 'after' },
    start: ({ bench }) => bench.snapshots.startReverting(0),
    conclude: (bench, id) => bench.snapshots.concludeReverting(id, true),
  },
  {
    name: 'delete-snapshot',
    kind: 'DeleteVmSnapshots',
    needs: ['a VM snapshot'],
    stands: { step: 'plan-merge', subject: 'vda', phase: 'after' },
    start: ({ bench }) => bench.snapshots.startDeleting(0),
    conclude: (bench, id) => bench.snapshots.concludeDeleting(id, true),
  },
  {
    name: 'compaction',
    kind: 'CompactChain',
    needs: ['a Removed backup'],
    stands: { step: 'replace', subject: '{vda}', phase: 'after' },
    start: ({ bench, newer }) => bench.compaction.startFor(newer),
    conclude: async () => {},
  },
  {
    name: 'release-files',
    kind: 'ReleaseFiles',
    needs: ['files of a restore'],
    stands: { step: 'release', subject: '{left vda}', phase: 'after' },
    start: ({ bench }) => bench.release.start(),
    conclude: async (bench) => bench.release.demandGone(),
  },
];

async function describeBackup(bench: CrashBench, operationId: string): Promise<string> {
  const id = await bench.backups.conclude(operationId, true);
  const { type, fullReason } = await bench.stack.api.get<Backup>(`/backups/${id}`);
  if (type === 'FULL' && (fullReason ?? '') === '') throw new Error(`backup ${id} is full and does not say why`);
  return type.toLowerCase();
}
