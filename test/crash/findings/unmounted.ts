/** A storage that is unmounted while it is written to: the empty folder under its mount point takes everything without an error. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { mkdir, readdir, rm } from 'node:fs/promises';
import type { CrashBench } from '../crash-bench.js';
import type { Finding } from './finding.js';

/** Longer than a whole backup of these small disks takes. */
const AWAY_MS = 6_000;

export const unmountedStorage: Finding = {
  name: 'unmounted: the storage is taken away before anything is written, and comes back later',
  async play(bench) {
    const words = [await backupWithoutStorage(bench, [])];
    // The same with folders of an earlier mishap under the mount point: only a look at the end can tell.
    words.push(await backupWithoutStorage(bench, ['backups', bench.vm.uuid]));
    return words.join('; ');
  },
};

async function backupWithoutStorage(bench: CrashBench, below: readonly string[]): Promise<string> {
  await bench.runningWithNewContent();
  const { operationId, goOn } = await bench.strikes.standAt({ step: 'prepare', subject: '', phase: 'before' }, () =>
    bench.backups.start({}),
  );
  await bench.storage.vanish();
  const place = bench.storage.path;
  try {
    if ((await readdir(place)).length > 0) throw new Error('something lies under the mount point: this case proves nothing');
    if (below.length > 0) await mkdir(join(place, ...below), { recursive: true });
    await goOn();
    await sleep(AWAY_MS);
  } finally {
    for (const name of await readdir(place)) await rm(join(place, name), { recursive: true });
    await bench.storage.reappear();
  }
  const end = await bench.waitForRest(operationId);
  if (end.succeeded) throw new Error('a backup that is not on its storage was called published');
  await bench.backups.conclude(operationId, false);
  await bench.checkInvariants();
  return end.words;
}
