/** Files that are not synced: what a storage has only in memory is lost with its power; a published backup must not be. */
import type { Finding } from './finding.js';

export const unsyncedStorage: Finding = {
  name: 'unsynced: the storage loses its power right after a backup is published',
  async play(bench) {
    await bench.runningWithNewContent();
    const { operationId, goOn } = await bench.strikes.standAt({ step: 'publish-manifest', subject: '', phase: 'after' }, () =>
      bench.backups.start({}),
    );
    await bench.storage.losePower();
    await goOn();
    const end = await bench.waitForRest(operationId);
    if (!end.succeeded) throw new Error(end.words);
    await bench.backups.conclude(operationId, true);
    await bench.checkInvariants();
    return 'the backup is whole on what was really written';
  },
};
