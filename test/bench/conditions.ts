/** Under which conditions was measured: the machine, its programs, the data. Reads, and says it in lines. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import { run } from '../testbed/command.js';
import { shares } from './mixed-disk.js';
import type { BenchOptions } from './options.js';

/** `loadBefore`: what os.loadavg() said before the measurement began. */
export async function conditionLines(
  options: BenchOptions,
  peerVersion: string,
  loadBefore: readonly number[],
): Promise<string[]> {
  const { random, text, pieces } = shares(options.dataGiB);
  const qemu = /version (\S+)/.exec(await run(['qemu-img', '--version']))?.[1] ?? 'unknown';
  const libvirt = (await run(['libvirtd', '--version'])).trim().split(' ').at(-1) ?? 'unknown';
  const b3sum = (await run(['b3sum', '--version'])).trim();
  const load = (values: readonly number[]): string => values.map((value) => value.toFixed(1)).join(' ');
  return [
    `machine: ${cpus().length} processors (${cpus()[0]?.model.trim() ?? 'unknown'}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB memory, Linux ${release()}`,
    `programs: QEMU ${qemu}, libvirt ${libvirt}, ${b3sum}, virtnbdbackup ${peerVersion}, Node ${process.version}`,
    `disk: ${options.sizeGiB} GiB qcow2 with ext4; ${random} MiB that do not compress, ${text} MiB text, ${pieces} MiB in pieces between holes`,
    `change before each incremental backup: ${options.changeMiB} MiB overwritten in place, spread over the disk`,
    'before each measurement: everything written out, and all files that it reads are in the page cache, as much memory as it needs was just given back; one run is not counted',
    'guests run without hardware virtualisation, idle while measured; backups of Holdfast and of the peer freeze the guest',
    `load of the machine (1, 5, 15 minutes): before ${load(loadBefore)}, after ${load(loadavg())}`,
  ];
}
