/** Image locks: somebody reads a layer that is to be merged. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from './finding.js';
import { holdReader } from './probes.js';

export const lockedDelta: Finding = {
  name: 'locks: a foreign reader holds a delta that is to be merged',
  async play(bench) {
    await bench.runningWithNewContent();
    const first = await bench.backups.start({});
    await bench.waitForRest(first);
    await bench.backups.conclude(first, true);
    await bench.runningWithNewContent();
    const { operationId: second, goOn } = await bench.strikes.standAt(
      { step: 'plan-merge', subject: 'vdb', phase: 'before' },
      () => bench.backups.start({}),
    );
    const chain = await bench.vm.chain('vdb');
    const release = await holdReader(bench, chain.at(-1)?.filename ?? '', 'raw');
    await goOn();
    await sleep(3_000);
    await release();
    const end = await bench.waitForRest(second);
    if (!end.succeeded) throw new Error(end.words);
    await bench.backups.conclude(second, true);
    await bench.checkInvariants();
    return 'published meanwhile, merged when the reader had gone';
  },
};
