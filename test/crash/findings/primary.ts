/** Primary storage under a restore: full or read-only while the new files are written, or without room for them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { waitForEnd } from '../../system/operations.js';
import type { TestStorage } from '../../testbed/test-storage.js';
import { waitUntil } from '../../testbed/wait-until.js';
import type { CrashBench } from '../crash-bench.js';
import type { Finding } from './finding.js';
import { SmallPrimary } from './small-primary.js';

/** Room for some of the new files, and not for all of them. */
const TIGHT_MIB = 20;

/** How long the fault lasts once the restore is being taken back. */
const FAULT_MS = 3_000;

interface PrimaryFault {
  readonly code: string;
  /** The restore is taken back meanwhile. Otherwise that needs the storage, and is tried until it is mended. */
  readonly endsByItself: boolean;
  strike(media: TestStorage): Promise<void>;
  heal(media: TestStorage): Promise<void>;
}

const FULL: PrimaryFault = {
  code: 'PRIMARY_FULL',
  endsByItself: true,
  strike: (media) => media.fill(),
  heal: (media) => media.unfill(),
};
const READ_ONLY: PrimaryFault = {
  code: 'STORAGE_READ_ONLY',
  endsByItself: false,
  strike: (media) => media.remountReadOnly(),
  heal: (media) => media.remountReadWrite(),
};

export const fullPrimary: Finding = {
  name: 'primary: it is full when a restore writes its new files',
  play: (bench) => failingRestore(bench, FULL),
};

export const readOnlyPrimary: Finding = {
  name: 'primary: it is read-only when a restore writes its new files',
  play: (bench) => failingRestore(bench, READ_ONLY),
};

export const tightPrimary: Finding = {
  name: 'primary: a restore does not fit on it',
  play: (bench) =>
    SmallPrimary.use(bench, async (small) => {
      const before = await small.state();
      await small.media.fill(TIGHT_MIB);
      const { id } = await bench.stack.startRestore(small.backup);
      const end = await waitForEnd(bench.stack.api, id);
      const words = small.demandRefusal(end, 'PRIMARY_FULL');
      // By the look at the room: no step has made a file, and none has had to be taken back.
      const acted = end.steps.map(({ name }) => name).filter((name) => name !== 'preflight');
      if (acted.length > 0) throw new Error(`it was refused after something was done: ${acted.join(', ')}`);
      await small.demandState(before);
      await small.media.unfill();
      await small.demandStarts();
      await small.demandRestore();
      return words;
    }),
};

/** The fault meets the last of the new files; the others are whole by then. */
async function failingRestore(bench: CrashBench, fault: PrimaryFault): Promise<string> {
  return SmallPrimary.use(bench, async (small) => {
    const before = await small.state();
    const subject = await bench.stack.volumeKey(small.vm, 'vda');
    const { operationId, goOn } = await bench.strikes.standAt(
      { step: 'restore', subject, phase: 'before' },
      async () => (await bench.stack.startRestore(small.backup)).id,
    );
    await waitUntil('every other volume is restored', async () => {
      const { steps } = await bench.stack.api.get<Operation>(`/operations/${operationId}`);
      const restored = steps.filter(({ name, state }) => name === 'restore' && state === 'Done');
      return restored.length > 0 && steps.every((step) => step.state === 'Done' || step.subject === subject);
    });
    await fault.strike(small.media);
    await goOn();
    if (fault.endsByItself) await waitForEnd(bench.stack.api, operationId);
    else await waitUntil('the restore has met the fault', () => hasFailedStep(bench, operationId));
    await sleep(FAULT_MS);
    if (JSON.stringify((await small.state()).disks) !== JSON.stringify(before.disks))
      throw new Error('a restore that failed has changed the definition');
    await fault.heal(small.media);
    const words = small.demandRefusal(await waitForEnd(bench.stack.api, operationId), fault.code);
    await small.demandState(before);
    await small.demandStarts();
    await small.demandRestore();
    return words;
  });
}

async function hasFailedStep(bench: CrashBench, operationId: string): Promise<boolean> {
  const { steps } = await bench.stack.api.get<Operation>(`/operations/${operationId}`);
  return steps.some(({ state }) => state === 'Failed');
}
