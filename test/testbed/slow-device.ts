/**
 * A block device that can be made slow or stopped: a raw file, exported over FUSE by a qemu-storage-daemon with a throttle,
 * with a loop device on top. Owns that daemon and its files in one directory.
 */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, startBackground } from './command.js';
import { talkLines } from './unix-socket.js';
import { waitUntil } from './wait-until.js';

const throttleGroup = 'limit';

/** Starts the daemon for a new raw file of `sizeMiB` in `dir`; returns the file it exports. */
export async function startSlowDevice(dir: string, sizeMiB: number): Promise<string> {
  const backing = join(dir, 'disk.raw');
  const exported = join(dir, 'export');
  await run(['truncate', '-s', `${sizeMiB}M`, backing]);
  await writeFile(exported, '');
  const before = (await stat(exported)).dev;
  const logFile = join(dir, 'daemon.log');
  const { exited } = await startBackground(
    [
      'qemu-storage-daemon',
      ...['--object', `throttle-group,id=${throttleGroup}`],
      ...['--blockdev', JSON.stringify({ driver: 'file', 'node-name': 'file', filename: backing })],
      ...[
        '--blockdev',
        JSON.stringify({ driver: 'throttle', 'node-name': 'slow', 'throttle-group': throttleGroup, file: 'file' }),
      ],
      ...['--chardev', 'socket,id=qmp,path=qmp.sock,server=on,wait=off', '--monitor', 'chardev=qmp'],
      ...['--export', JSON.stringify({ type: 'fuse', id: 'export', 'node-name': 'slow', mountpoint: exported, writable: true })],
    ],
    { logFile, cwd: dir },
  );
  let hasExited = false;
  void exited.then(() => (hasExited = true));
  await waitUntil(
    `the storage daemon in ${dir} exports its file`,
    async () => {
      if (hasExited) throw new Error(await readFile(logFile, 'utf8'));
      return (await stat(exported)).dev !== before;
    },
    { intervalMs: 10 },
  );
  return exported;
}

/** Limits reads and writes together, in bytes per second; 0 takes the limit away. */
export async function throttleDevice(dir: string, bytesPerSecond: number): Promise<void> {
  await talkLines(join(dir, 'qmp.sock'), 30_000, async (qmp) => {
    await qmp.receive();
    const command = async (execute: string, args: Record<string, unknown>) => {
      qmp.send(JSON.stringify({ execute, arguments: args }));
      const answer = await qmp.receive();
      if (!answer.includes('"return"')) throw new Error(`${execute} was refused: ${answer}`);
    };
    await command('qmp_capabilities', {});
    await command('qom-set', {
      path: `/objects/${throttleGroup}`,
      property: 'limits',
      value: { 'bps-total': bytesPerSecond },
    });
  });
}

/** Sends a signal to the daemon of `dir`, found by its command line. Returns false when none lives. */
export async function signalDevice(dir: string, signal: NodeJS.Signals): Promise<boolean> {
  const exported = `"mountpoint":${JSON.stringify(join(dir, 'export'))}`;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!commandLine.startsWith('qemu-storage-daemon\0') || !commandLine.includes(exported)) continue;
    process.kill(Number(pid), signal);
    return true;
  }
  return false;
}
