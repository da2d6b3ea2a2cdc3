/** Findings B and C: libvirtd, or QEMU, dies at the pivot of an active block commit. */
import type { CrashBench } from '../crash-bench.js';
import type { Finding } from './finding.js';
import { mendOrphan, whenCalled } from './probes.js';

const DELAYS_MS = [0, 5, 10, 20, 30, 40, 50, 60];

/** libvirtd may forget the VM; QEMU goes on as an orphan that nobody may start a second time. */
export const libvirtdDiesAroundThePivot: Finding = {
  name: 'finding B: libvirtd killed 0-60 ms after the pivot call',
  play: (bench) =>
    sweep(bench, async () => {
      await bench.host.killLibvirtd();
      await bench.host.startLibvirtd();
    }),
};

export const qemuDiesAroundThePivot: Finding = {
  name: 'finding C: QEMU killed 0-60 ms after the pivot call',
  play: (bench) => sweep(bench, () => bench.vm.killQemu()),
};

/** Each isolated backup merges its own delta, so each has a pivot for each disk. */
async function sweep(bench: CrashBench, strike: () => Promise<void>): Promise<string> {
  const ends: string[] = [];
  for (const delayMs of DELAYS_MS) {
    await bench.runningWithNewContent();
    const operationId = await bench.backups.start({ isolated: true });
    await whenCalled('virsh', '--pivot', delayMs, strike);
    const orphaned = await mendOrphan(bench, operationId);
    const end = await bench.waitForRest(operationId);
    await bench.backups.conclude(operationId, end.succeeded);
    await bench.checkInvariants();
    ends.push(`${delayMs} ms ${end.words}${orphaned ? ', orphaned' : ''}`);
  }
  return ends.join(', ');
}
