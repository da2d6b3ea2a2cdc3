/** Finding F: layers that somebody else put between two backups must be in the copy, not lost. */
import { join } from 'node:path';
import type { Finding } from './finding.js';

export const foreignSnapshots: Finding = {
  name: 'finding F: foreign snapshots between two backups',
  async play(bench) {
    for (let round = 1; round <= 4; round += 1) {
      for (let layer = 1; layer < round; layer += 1) {
        await bench.runningWithNewContent();
        const fileOf = (target: string): string => join(bench.vm.dir, `foreign-${round}-${layer}-${target}.qcow2`);
        await bench.vm.snapshotByHand({ vda: fileOf('vda'), vdb: fileOf('vdb') });
      }
      if (round === 3) await bench.stoppedWithNewContent();
      else await bench.runningWithNewContent();
      const operationId = await bench.backups.start({});
      const end = await bench.waitForRest(operationId);
      if (!end.succeeded) throw new Error(`round ${round}: ${end.words}`);
      await bench.backups.conclude(operationId, true);
      await bench.checkInvariants();
    }
    return 'one file per volume holds the union of up to four layers';
  },
};
