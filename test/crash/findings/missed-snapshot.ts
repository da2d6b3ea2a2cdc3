/** Finding A: libvirtd dies between QEMU's snapshot and its own note of it, and names the old files from then on. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CrashBench } from '../crash-bench.js';
import { run } from '../../testbed/command.js';
import type { Finding } from './finding.js';
import { activeNode, intendedDelta, whenCalled } from './probes.js';

/** Played exactly: the snapshot is made in QEMU behind libvirt's back, and libvirtd is killed. */
export const libvirtdMissesTheSnapshot: Finding = {
  name: 'finding A: libvirtd misses a snapshot that QEMU made',
  async play(bench) {
    await undisturbedBackup(bench);
    await bench.runningWithNewContent();
    const { operationId, goOn } = await bench.strikes.standAt({ step: 'snapshot', subject: '', phase: 'before' }, () =>
      bench.backups.start({}),
    );
    await snapshotBehindLibvirt(bench);
    await bench.host.killLibvirtd();
    await goOn();
    await sleep(300);
    await bench.host.startLibvirtd();
    const end = await bench.waitForRest(operationId);
    await bench.backups.conclude(operationId, end.succeeded);
    await bench.checkInvariants();
    // The layer that the next start uses is the one that holds everything.
    await bench.vm.destroy();
    await bench.checkInvariants();
    await undisturbedBackup(bench);
    return end.words;
  },
};

/** The race itself, many times: libvirtd is killed some milliseconds after the snapshot call appears. */
export const libvirtdDiesAroundTheSnapshot: Finding = {
  name: 'finding A: libvirtd killed 0-40 ms after the snapshot call',
  async play(bench) {
    const ends: string[] = [];
    for (const delayMs of [0, 4, 8, 12, 16, 20, 28, 40]) {
      await bench.runningWithNewContent();
      const { operationId, goOn } = await bench.strikes.standAt({ step: 'snapshot', subject: '', phase: 'before' }, () =>
        bench.backups.start({}),
      );
      await goOn();
      await whenCalled('virsh', 'snapshot-create', delayMs, () => bench.host.killLibvirtd());
      await bench.host.startLibvirtd();
      const end = await bench.waitForRest(operationId);
      await bench.backups.conclude(operationId, end.succeeded);
      await bench.checkInvariants();
      ends.push(`${delayMs} ms ${end.words}`);
    }
    return ends.join(', ');
  },
};

async function undisturbedBackup(bench: CrashBench): Promise<void> {
  await bench.runningWithNewContent();
  const operationId = await bench.backups.start({});
  const end = await bench.waitForRest(operationId);
  if (!end.succeeded) throw new Error(`an undisturbed backup failed: ${end.words}`);
  await bench.backups.conclude(operationId, true);
  await bench.checkInvariants();
}

/** blockdev-add of each intended delta and one transaction, as libvirt itself would have asked for. */
async function snapshotBehindLibvirt(bench: CrashBench): Promise<void> {
  const actions = [];
  for (const target of ['vda', 'vdb']) {
    const [active] = await bench.vm.chain(target);
    if (active === undefined) throw new Error(`disk ${target} has no image`);
    const delta = await intendedDelta(bench, target);
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', active.filename, '-F', active.format, delta]);
    await run(['chown', 'libvirt-qemu:', delta]);
    const overlay = `behind-${target}`;
    await bench.vm.qmp('blockdev-add', { driver: 'file', 'node-name': `${overlay}-file`, filename: delta });
    await bench.vm.qmp('blockdev-add', { driver: 'qcow2', 'node-name': overlay, file: `${overlay}-file`, backing: null });
    actions.push({ type: 'blockdev-snapshot', data: { node: await activeNode(bench, target), overlay } });
  }
  await bench.vm.qmp('transaction', { actions });
}
