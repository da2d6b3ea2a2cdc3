/** Files that are not synced: what a storage has only in memory is lost with its power; a published backup must not be. */
import type { Finding } from './finding.js';

export const unsyncedStorage: Finding = {
  name: 'unsynced: the storage loses its power right after a backup is published',
  async play(bench) {
    await bench.runningWithNewContent();
    const breakpoint = await bench.strikes.setBreakpoint({ step: 'publish-manifest', subject: '', phase: 'after' });
    const operationId = await bench.startBackup({});
    if (!(await bench.strikes.waitForBreakpointOrEnd(breakpoint, operationId))) throw new Error('the manifest was not published');
    await bench.storage.losePower();
    await bench.strikes.clearBreakpoint(breakpoint);
    const end = await bench.waitForRest(operationId);
    if (!end.succeeded) throw new Error(end.words);
    await bench.concludeBackup(operationId, true);
    await bench.checkInvariants();
    return 'the backup is whole on what was really written';
  },
};
