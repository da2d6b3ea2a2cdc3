/**
 * A storage that answers nothing for longer than any deadline of the agent. Calls on it end by their deadline, what waits for it in
 * the kernel cannot be killed before it answers, and nobody else on the host may notice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { waitForEnd } from '../../system/operations.js';
import { References } from '../../system/references.js';
import { secondaryViolations } from '../../system/secondary-invariants.js';
import type { StackStorage } from '../../system/system-stack.js';
import { WholeFiles } from '../../system/whole-files.js';
import { TestVm } from '../../testbed/test-vm.js';
import { waitUntil } from '../../testbed/wait-until.js';
import type { CrashBench, End } from '../crash-bench.js';
import type { StepName } from '../crash-case.js';
import type { Finding } from './finding.js';

/** Longer than the 30 s after which a look at a storage is given up. */
const HANG_MS = 45_000;
/** Between two looks at the guest meanwhile. */
const LOOK_MS = 2_000;

/** A VM on the same host whose backups go to another storage. */
interface Neighbour {
  readonly vm: TestVm;
  readonly storage: StackStorage;
}

/** What the hang meets. */
interface Blow extends StepName {
  /** Steps that work beside it, and must be done before: the hang meets this one alone, with nothing of the storage in memory. */
  readonly after: readonly string[];
  /** The storage hangs until the operation has ended, however long that takes. */
  readonly untilOver?: boolean;
}

const COPY: Blow = { step: 'copy', subject: '{vda}', after: ['describe', 'copy.{vdb}', 'seal.{vdb}'] };

export const hangsInCopy: Finding = {
  name: 'hanging storage: a backup is copied to it',
  play: (bench) => backupsThrough(bench, [COPY]),
};

export const hangsUntilFailed: Finding = {
  name: 'hanging storage: a backup to it has failed before it answers again',
  play: (bench) => backupsThrough(bench, [{ ...COPY, untilOver: true }]),
};

export const hangsInPublication: Finding = {
  name: 'hanging storage: a backup is published on it',
  play: (bench) =>
    backupsThrough(
      bench,
      ['publish-files', 'publish-manifest'].map((step) => ({ step, subject: '', after: [] })),
    ),
};

export const hangsInRestore: Finding = {
  name: 'hanging storage: a restore verifies what it reads from it',
  async play(bench) {
    await bench.stoppedWithBackupAndNewContent();
    const neighbour = await neighbourOf(bench);
    const after = ['restore.{vda}', 'restore.{vdb}', 'verify.{backup 2}.{vda}.qcow2'];
    const blow = { step: 'verify', subject: '{backup 1}.{vda}.qcow2', after };
    const { operationId, end } = await strike(bench, neighbour, blow, () => bench.backups.startRestore());
    await bench.backups.concludeRestore(operationId, end.succeeded);
    await bench.checkInvariants();
    if (end.succeeded) return end.words;
    await bench.stoppedWithNewContent();
    const again = await bench.backups.startRestore();
    await bench.demandSuccess(again);
    await bench.backups.concludeRestore(again, true);
    await bench.checkInvariants();
    return `${end.words}, restored when it was asked for again`;
  },
};

/** A backup for each blow, and after each one more that nothing disturbs. */
async function backupsThrough(bench: CrashBench, blows: readonly Blow[]): Promise<string> {
  const neighbour = await neighbourOf(bench);
  const words: string[] = [];
  for (const blow of blows) {
    await bench.runningWithNewContent();
    const { operationId, end } = await strike(bench, neighbour, blow, () => bench.backups.start({ quiesce: 'require' }));
    await bench.backups.conclude(operationId, end.succeeded);
    await bench.checkInvariants();
    await bench.backups.take(`after ${blow.step}`);
    await bench.checkInvariants();
    words.push(`${blow.step} ${end.words}`);
  }
  return words.join('; ');
}

/** The operation goes on into a storage that hangs, and comes to an end that says so, with nothing left that works on it. */
async function strike(
  bench: CrashBench,
  neighbour: Neighbour,
  blow: Blow,
  begin: () => Promise<string>,
): Promise<{ readonly operationId: string; readonly end: End }> {
  const { operationId, goOn } = await bench.strikes.standAt({ ...blow, phase: 'before' }, begin);
  await waitForSteps(bench, operationId, blow.after);
  await bench.storage.hang();
  try {
    const until = Date.now() + HANG_MS;
    await goOn();
    // Nothing that waits for this storage can end before it is let go: what ends now did not wait for it.
    await backUpNeighbour(bench, neighbour);
    while (Date.now() < until) {
      await demandUndisturbed(bench);
      await sleep(LOOK_MS);
    }
    if (blow.untilOver === true) await waitForEnd(bench.stack.api, operationId);
    await demandUndisturbed(bench);
    if ((await workingOn(bench)).length === 0) throw new Error('nothing waits for the storage: this case proves nothing');
  } finally {
    await bench.storage.resume();
  }
  const end = await bench.waitForRest(operationId);
  if (!end.succeeded && !end.words.includes('STORAGE_HANGING'))
    throw new Error(`the storage did not answer, and that is not said: ${end.words}`);
  await waitUntil('no process works on the storage any more', async () => {
    const left = await workingOn(bench);
    if (left.length > 0) throw new Error(left.join('\n'));
    return true;
  });
  return { operationId, end };
}

async function waitForSteps(bench: CrashBench, operationId: string, wanted: readonly string[]): Promise<void> {
  await waitUntil(`these steps are done: ${wanted.join(', ')}`, async () => {
    const { steps } = await bench.stack.api.get<Operation>(`/operations/${operationId}`);
    const done = steps
      .filter(({ state }) => state === 'Done')
      .map(({ name, subject }) => (subject === '' ? name : `${name}.${bench.symbolic(subject)}`));
    return wanted.every((step) => done.includes(step));
  });
}

async function demandUndisturbed(bench: CrashBench): Promise<void> {
  await bench.strikes.demandLivingGuest();
  if ((await bench.vm.domstate()) !== 'running') return;
  if ((await bench.vm.fsfreezeStatus()) !== 'thawed') throw new Error('the guest is frozen while the storage hangs');
}

/** Command lines of the host that name something on the storage. */
async function workingOn(bench: CrashBench): Promise<string[]> {
  const lines = (await bench.host.processes()).map(({ argv }) => argv.join(' '));
  return lines.filter((line) => line.includes(`${bench.storage.path}/`));
}

/** Its storage takes nothing but its own backups: it has most room, and would be chosen for the bench's VM, too. */
async function neighbourOf(bench: CrashBench): Promise<Neighbour> {
  const storage = await bench.stack.createStorage('elsewhere');
  await bench.stack.api.patch(`/secondary-storages/${storage.storage.id}`, { readOnly: true });
  const vm = await TestVm.define(bench.host, { name: 'neighbour', disks: [{ target: 'vda', sizeMiB: 16 }] });
  await bench.stack.waitForVm(vm);
  await bench.stack.assign(vm, await bench.stack.createOffering('neighbour'));
  await vm.start();
  return { vm, storage };
}

/** Isolated: it leaves nothing on primary storage. */
async function backUpNeighbour({ stack, host }: CrashBench, { vm, storage }: Neighbour): Promise<void> {
  const place = `/secondary-storages/${storage.storage.id}`;
  const references = new References(`${host.dir}/neighbour`);
  const copies = await references.copy(vm);
  await stack.api.patch(place, { readOnly: false });
  const backup = await stack.backup(vm, { isolated: true });
  await stack.api.patch(place, { readOnly: true });
  references.bind(backup, copies);
  const published = await stack.api.list<Backup>('/backups', { storageId: storage.storage.id });
  const root = storage.media.path;
  const broken = await secondaryViolations({ root, published, references, whole: WholeFiles.on(storage.media) });
  if (broken.length > 0) throw new Error(broken.join('\n'));
}
