/**
 * The small machine behind a test host: pid, mount and host name spaces with its own /run, /dev, /etc/libvirt and the like.
 * Owns the start and the death of that machine. Knows nothing of libvirt's state beyond its folders.
 */
import { mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bootRecord } from './boot-record.js';
import { startBackground } from './command.js';
import { startTime } from './work-dir.js';
import { waitUntil } from './wait-until.js';

/** Folders of the machine that a host has for itself: path inside, folder below the host's own directory. */
export const hostFolders: Record<string, string> = {
  '/run/libvirt': 'run',
  '/var/lib/libvirt': 'lib',
  '/etc/libvirt': 'etc',
  '/var/log/libvirt': 'log',
  '/var/cache/libvirt': 'cache',
};

/** A process inside a host: its id inside, its id on this machine, its command line. */
export interface HostProcess {
  pid: number;
  outerPid: number;
  argv: string[];
}

// Runs as process 1 of the host: builds its view of the machine, then only collects dead children. $1 is the host's
// directory, $2 its name, then pairs of outer folder and inner path. /dev has no kvm: libvirt probes it again and again
// for seconds where it cannot be used.
const init = `
set -eu
dir=$1 name=$2; shift 2
read -r pid _ < /proc/self/stat
hostname "$name"
mount -t proc proc /proc
cat /proc/sys/kernel/random/uuid > "$dir/boot_id"
mount --bind "$dir/boot_id" /proc/sys/kernel/random/boot_id
mount --bind "$dir/hosts" /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
cp "$dir/utmp" /run/utmp
while [ $# -gt 0 ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; done
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/dev
mount -t tmpfs -o mode=755 tmpfs /mnt/dev
for node in null zero full random urandom tty fuse loop-control; do
  if [ -e "/dev/$node" ]; then cp -a "/dev/$node" "/mnt/dev/$node"; fi
done
cp -a /dev/loop[0-9]* /mnt/dev/ 2>/dev/null || true
mkdir /mnt/dev/pts /mnt/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /mnt/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /mnt/dev/shm
ln -s pts/ptmx /mnt/dev/ptmx
ln -s /proc/self/fd /mnt/dev/fd
ln -s fd/0 /mnt/dev/stdin
ln -s fd/1 /mnt/dev/stdout
ln -s fd/2 /mnt/dev/stderr
mount --move /mnt/dev /dev
umount /mnt
echo "$pid" > "$dir/init.pid.new"
mv "$dir/init.pid.new" "$dir/init.pid"
set +e
trap : TERM INT HUP
while :; do sleep 86400 & wait $!; done
`;

/** Starts the machine and returns the outer id of its process 1, when every mount is in place. */
export async function bootNamespace(dir: string, name: string): Promise<number> {
  await rm(join(dir, 'init.pid'), { force: true });
  // What a real machine keeps in memory is gone after a power loss.
  await rm(join(dir, 'run'), { recursive: true, force: true });
  for (const folder of Object.values(hostFolders)) await mkdir(join(dir, folder), { recursive: true, mode: 0o755 });
  const pairs = Object.entries(hostFolders).flatMap(([inside, folder]) => [join(dir, folder), inside]);
  await writeFile(join(dir, 'utmp'), bootRecord());
  const logFile = join(dir, 'init.log');
  const { exited } = await startBackground(
    [
      'unshare',
      '-m',
      '-u',
      '-p',
      '--fork',
      '--propagation',
      'slave',
      'bash',
      '-c',
      init,
      'holdfast-test-host',
      dir,
      name,
      ...pairs,
    ],
    { logFile },
  );
  let hasExited = false;
  void exited.then(() => (hasExited = true));
  const pid = await waitUntil(
    `test host ${name} has booted`,
    async () => {
      const text = await readFile(join(dir, 'init.pid'), 'utf8').catch(() => '');
      if (text !== '') return Number(text);
      if (hasExited) throw new Error(await readFile(logFile, 'utf8'));
      return undefined;
    },
    { intervalMs: 10 },
  );
  return pid;
}

/** Outer id of the living process 1 of the host in `dir`, or undefined. Only a real init of that very host counts. */
export async function livingInit(dir: string): Promise<number | undefined> {
  const pid = Number(await readFile(join(dir, 'init.pid'), 'utf8').catch(() => '0'));
  if (!(pid > 1)) return undefined;
  const argv = await argvOf(pid);
  return argv.includes('holdfast-test-host') && argv.includes(dir) ? pid : undefined;
}

/**
 * Kills everything in the host at once, as a power loss does, and waits until it is gone.
 * Throws, with the survivors, when processes hang in storage that does not answer.
 */
export async function killNamespace(dir: string): Promise<void> {
  const init = await livingInit(dir);
  if (init === undefined) return;
  const started = await startTime(init);
  process.kill(init, 'SIGKILL');
  await waitUntil(
    `everything in ${dir} is dead (is one of its storages still hanging?)`,
    async () => {
      const now = await startTime(init);
      return now !== started;
    },
    { intervalMs: 5 },
  );
  await rm(join(dir, 'init.pid'), { force: true });
}

/**
 * Every process of the host whose process 1 is `init`, without process 1 itself and its sleeper. A child that has just been
 * forked still has its parent's command line; it is not listed, because who looks for the parent would find either.
 */
export async function namespaceProcesses(init: number): Promise<HostProcess[]> {
  const space = await readlink(`/proc/${init}/ns/pid`);
  const found: (HostProcess & { readonly parent: number })[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const same = await readlink(`/proc/${entry}/ns/pid`).catch(() => undefined);
    if (same !== space) continue;
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '');
    const inner = /^NSpid:.*\s(\d+)$/m.exec(status)?.[1];
    const argv = await argvOf(Number(entry));
    if (inner === undefined || inner === '1' || argv.length === 0) continue;
    const parent = Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1]);
    found.push({ pid: Number(inner), outerPid: Number(entry), argv, parent });
  }
  const lines = new Map(found.map(({ outerPid, argv }) => [outerPid, argv.join('\0')]));
  return found
    .filter(({ parent, argv }) => lines.get(parent) !== argv.join('\0'))
    .map(({ pid, outerPid, argv }) => ({ pid, outerPid, argv }));
}

/** The prefix that runs a program inside the host whose process 1 is `init`. */
export function enterArgv(init: number): string[] {
  return ['nsenter', '-t', String(init), '-m', '-u', '-p', '--'];
}

async function argvOf(pid: number): Promise<string[]> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return line.split('\0').slice(0, -1);
}
