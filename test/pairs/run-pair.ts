/**
 * One cell of the table, on a real VM: an operation stands in the middle, something arrives, the operation goes on, all come to
 * their end. Owns that way, the look at everything afterwards, and the words for what came of it.
 */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CrashBench } from '../crash/crash-bench.js';
import { ApiProblem } from '../system/rest-client.js';
import type { OtherHand } from './other-hands.js';
import type { Need, PairKind } from './pair-kinds.js';
import { preparePairWorld, type PairWorld } from './pair-world.js';

/**
 * A second operation arrives. Words on that one: `done`, `done: full`, `refused IN_USE` (when it was asked for), `failed
 * VM_HAS_SNAPSHOTS` (when its turn came); and the chain. The first one must end well.
 */
export async function runPair(bench: CrashBench, first: PairKind, second: PairKind): Promise<string> {
  const needs = [...first.needs, ...second.needs];
  const off = first.off === true || second.off === true;
  const { operationId, came } = await meet(bench, first, { needs, off }, (world) => ask(world, second, first));
  await bench.demandSuccess(operationId);
  await first.conclude(bench, operationId);
  const words = 'refusedWith' in came ? `refused ${came.refusedWith}` : await conclude(bench, second, came.operationId);
  return lookAt(bench, words);
}

/** Somebody does something to the VM. Words on the operation: `done`, or `failed PLAN_OUTDATED` with the VM as before; and the chain. */
export async function runIntrusion(bench: CrashBench, first: PairKind, hand: OtherHand): Promise<string> {
  const off = first.off === true;
  const { operationId } = await meet(bench, first, { needs: first.needs, off }, () => hand.act(bench));
  const words = await lookAt(bench, await conclude(bench, first, operationId));
  await hand.conclude(bench);
  return words;
}

async function meet<T>(
  bench: CrashBench,
  first: PairKind,
  { needs, off }: { readonly needs: readonly Need[]; readonly off: boolean },
  arrive: (world: PairWorld) => Promise<T>,
): Promise<{ readonly operationId: string; readonly came: T }> {
  const world = await preparePairWorld(bench, needs, off ? 'stopped' : 'running');
  const { operationId, goOn } = await bench.strikes.standAt(first.stands, async () => {
    const id = await first.start(world);
    if (id === undefined) throw new Error(`${first.name} has nothing to do`);
    return id;
  });
  try {
    return { operationId, came: await arrive(world) };
  } finally {
    await goOn();
  }
}

/** A second operation of the VM waits, or it is refused at once. */
async function ask(
  world: PairWorld,
  second: PairKind,
  first: PairKind,
): Promise<{ readonly operationId: string | undefined } | { readonly refusedWith: string }> {
  try {
    const operationId = await second.start(world, first);
    if (operationId !== undefined) {
      const { state } = await world.bench.stack.api.get<Operation>(`/operations/${operationId}`);
      if (state !== 'Queued') throw new Error(`the second operation is ${state} while the first one runs`);
    }
    return { operationId };
  } catch (error) {
    if (error instanceof ApiProblem && error.status < 500) return { refusedWith: error.code };
    throw error;
  }
}

async function conclude(bench: CrashBench, kind: PairKind, operationId: string | undefined): Promise<string> {
  if (operationId === undefined) {
    await kind.conclude(bench, '');
    return 'done at once';
  }
  await bench.waitForRest(operationId);
  const { state, error } = await bench.stack.api.get<Operation>(`/operations/${operationId}`);
  if (state !== 'Succeeded') return `failed ${error?.code ?? state}`;
  const words = await kind.conclude(bench, operationId);
  return typeof words === 'string' ? `done: ${words}` : 'done';
}

async function lookAt(bench: CrashBench, words: string): Promise<string> {
  await bench.checkInvariants();
  const { headBackupId } = await bench.stack.vm(bench.vm);
  return `${words}; the chain is ${headBackupId === undefined ? 'ended' : 'open'}`;
}
