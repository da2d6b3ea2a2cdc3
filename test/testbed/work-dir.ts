/**
 * Where the test bed keeps its files and who a running piece belongs to. Owns the folder layout and the owner marks;
 * starts and removes nothing.
 *
 *   <work>/guest/<key>/        kernel and initramfs of the test guest, kept between runs
 *   <work>/libvirt-cache/      QEMU capabilities libvirt has probed, kept between runs
 *   <work>/run/<name>/         one test host, storage or run folder; removed by its creator or by cleanup
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tryRun } from './command.js';

/** Absolute path of the test bed's folder: HOLDFAST_TEST_DIR, or /var/tmp/holdfast-test. */
export function workDir(): string {
  return process.env['HOLDFAST_TEST_DIR'] ?? '/var/tmp/holdfast-test';
}

/** The folder below which hosts, storages and run folders live. */
export function runRoot(): string {
  return join(workDir(), 'run');
}

/** Folder of one named piece of a run. Names are lower-case letters, digits and dashes, 1 to 40 characters. */
export function runPath(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name)) {
    throw new Error(`"${name}" is no test bed name: use lower-case letters, digits and dashes, at most 40`);
  }
  return join(runRoot(), name);
}

/**
 * Makes the run folder a shared mount point, so that a storage mounted there later appears in hosts that run already.
 */
export async function prepareRunRoot(): Promise<void> {
  await mkdir(runRoot(), { recursive: true, mode: 0o755 });
  // Behind a lock: two suites that start at once would mount it twice, one over the other.
  const script = 'mountpoint -q "$1" || { mount --bind "$1" "$1" && mount --make-shared "$1"; }';
  const made = await tryRun(['flock', join(workDir(), 'run.lock'), 'sh', '-c', script, 'sh', runRoot()]);
  if (made.exitCode !== 0) throw new Error(`the test bed needs root for mounts: ${made.stderr.trim()}`);
}

/** Every mount point this process sees, in mount order, with the kernel's escapes undone. */
export async function mountPoints(): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => unescapeMountField(line.split(' ')[4] ?? ''));
}

/** Undoes the octal escapes of /proc mount tables. */
export function unescapeMountField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** Marks a folder as belonging to this process, so that cleanup leaves it alone while the process lives. */
export async function markOwner(dir: string): Promise<void> {
  await writeFile(join(dir, 'owner'), `${process.pid} ${(await startTime(process.pid)) ?? ''}\n`);
}

/** Process id of the living owner of a folder, or undefined when nobody owns it any more. */
export async function livingOwner(dir: string): Promise<number | undefined> {
  const [pid, started] = (await ownerMark(dir)) ?? [];
  if (pid === undefined || started === undefined) return undefined;
  return (await startTime(Number(pid))) === started ? Number(pid) : undefined;
}

/** Whether a folder was made by a process that has ended. A folder without a mark was made by something else. */
export async function isAbandoned(dir: string): Promise<boolean> {
  return (await ownerMark(dir)) !== undefined && (await livingOwner(dir)) === undefined;
}

async function ownerMark(dir: string): Promise<string[] | undefined> {
  const mark = await readFile(join(dir, 'owner'), 'utf8').catch(() => undefined);
  return mark?.trim().split(' ');
}

/** Start time of a process in kernel ticks, as text; tells a process from a later one with the same id. */
export async function startTime(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
