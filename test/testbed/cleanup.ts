/**
 * Removes what test runs left behind: hosts with all their processes, daemons, mounts, loop devices, directories.
 * Owns only what lies below the test bed's run folder, and leaves pieces alone whose process still lives.
 *
 * As a program: `node dist/testbed/cleanup.js [--all]`; `--all` also removes pieces of living processes and folders it does not know.
 */
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { run, tryRun } from './command.js';
import { killNamespace } from './host-namespace.js';
import { signalDevice } from './slow-device.js';
import { isAbandoned, mountPoints, runRoot } from './work-dir.js';
import { waitUntil } from './wait-until.js';

/** Removes every left-behind piece and returns their names. */
export async function cleanTestbed(options: { all?: boolean } = {}): Promise<string[]> {
  const names = await readdir(runRoot()).catch(() => []);
  const stale: string[] = [];
  for (const name of names) {
    if (options.all === true || (await isAbandoned(join(runRoot(), name)))) stale.push(name);
  }
  // Stopped devices first: nothing that hangs in one of them can die before.
  for (const name of stale) await signalDevice(join(runRoot(), name), 'SIGKILL');
  for (const name of stale) await removePiece(join(runRoot(), name));
  if (stale.length === names.length && (await mountPoints()).includes(runRoot())) {
    // Another process may just be starting; then the folder is not empty and stays.
    if ((await readdir(runRoot())).length === 0) await tryRun(['umount', runRoot()]);
  }
  return stale;
}

/** Removes one piece (host, storage, run folder): processes, mounts, loop devices, then the directory. */
export async function removePiece(dir: string): Promise<void> {
  await signalDevice(dir, 'SIGKILL');
  await killNamespace(dir);
  // Asked before the unmounting: a loop device on an export that is gone no longer tells its file.
  const devices = await loopDevicesBelow(dir);
  await waitUntil(`nothing is mounted below ${dir}`, async () => {
    const mine = (await mountPoints()).filter((path) => path.startsWith(`${dir}/`)).reverse();
    for (const path of mine) await tryRun(['umount', '-l', path]);
    return mine.length === 0;
  });
  for (const device of devices) await tryRun(['losetup', '-d', device]);
  await rm(dir, { recursive: true, force: true });
}

async function loopDevicesBelow(dir: string): Promise<string[]> {
  const listed = await run(['losetup', '--json', '--list', '--output', 'NAME,BACK-FILE']);
  if (listed.trim() === '') return [];
  const { loopdevices } = JSON.parse(listed) as { loopdevices: { name: string; 'back-file': string | null }[] };
  return loopdevices.filter((loop) => loop['back-file']?.startsWith(`${dir}/`)).map((loop) => loop.name);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const removed = await cleanTestbed({ all: process.argv.includes('--all') });
  console.log(removed.length === 0 ? 'nothing was left behind' : `removed: ${removed.join(', ')}`);
  await rmdir(runRoot()).catch(() => undefined);
}
