/** The operations of a walk: those that are crash-tested, and a few of which the walk alone has the state. One line each. */
import type { CrashBench } from '../crash/crash-bench.js';
import { OPERATIONS } from '../crash/operations.js';
import type { Choosable, WalkState } from './choose-step.js';

export interface WalkOperation extends Choosable {
  /** Brings the VM to where it can start; undisturbed. */
  prepare(bench: CrashBench): Promise<void>;
  /** Starts it; returns its operation id, undefined when nothing is to be done on a host. */
  start(bench: CrashBench, state: WalkState, chance: number): Promise<string | undefined>;
  conclude(bench: CrashBench, operationId: string, succeeded: boolean): Promise<void>;
}

/** How often, where it is not once. */
const WEIGHTS: Readonly<Record<string, number>> = { TakeBackup: 4, 'TakeBackup-stopped': 2, TakeVmSnapshot: 2 };

/** Those that bring backups or snapshots of their own; the walk has others in their place, for whatever there is (its restores release). */
const OWN_BACKUPS = ['RestoreBackup', 'ReleaseFiles', 'DeleteBackups', 'DeleteBackups-head'];
const OWN_SNAPSHOTS = ['RevertVmSnapshot', 'DeleteVmSnapshots', 'DeleteVmSnapshots-stopped'];
const hasSnapshots = ({ snapshots }: WalkState): boolean => snapshots > 0;
const oneOf = (count: number, chance: number): number => Math.floor(chance * count);

export const WALK_OPERATIONS: readonly WalkOperation[] = [
  ...OPERATIONS.filter(({ name, wayBack }) => wayBack !== true && ![...OWN_BACKUPS, ...OWN_SNAPSHOTS].includes(name)).map(
    (operation) => ({ ...operation, weight: WEIGHTS[operation.name] ?? 1 }),
  ),
  {
    name: 'TakeBackup-isolated',
    weight: 1,
    prepare: (bench) => bench.runningWithNewContent(),
    start: (bench) => bench.backups.start({ isolated: true, quiesce: 'try' }),
    conclude: async (bench, id, succeeded) => void (await bench.backups.conclude(id, succeeded)),
  },
  {
    name: 'RestoreBackup-any',
    weight: 2,
    possible: ({ backups }) => backups.length > 0,
    prepare: (bench) => bench.stoppedWithNewContent(),
    start: (bench, { backups }, chance) => bench.backups.startRestore(backups[oneOf(backups.length, chance)]),
    conclude: (bench, id, succeeded) => bench.backups.concludeRestore(id, succeeded),
  },
  {
    name: 'DeleteBackup-any',
    weight: 2,
    possible: ({ backups }) => backups.length > 1,
    prepare: async () => {},
    start: (bench, { backups }, chance) => bench.backups.startDeletion(backups[oneOf(backups.length, chance)] ?? ''),
    conclude: (bench) => bench.backups.forgetDeleted(),
  },
  {
    name: 'RevertVmSnapshot-any',
    weight: 2,
    possible: hasSnapshots,
    prepare: (bench) => bench.withNewContent('stopped'),
    start: (bench, { snapshots }, chance) => bench.snapshots.startReverting(oneOf(snapshots, chance)),
    conclude: (bench, id, succeeded) => bench.snapshots.concludeReverting(id, succeeded),
  },
  ...(['running', 'stopped'] as const).map((power): WalkOperation => ({
    name: `DeleteVmSnapshot-any-${power}`,
    weight: 1,
    possible: hasSnapshots,
    prepare: (bench) => bench.withNewContent(power),
    start: (bench, { snapshots }, chance) => bench.snapshots.startDeleting(oneOf(snapshots, chance)),
    conclude: (bench, id, succeeded) => bench.snapshots.concludeDeleting(id, succeeded),
  })),
];
