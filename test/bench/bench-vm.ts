/** A running VM on a copy of the mixed disk, and the change that its guest makes. Each competitor has one of its own. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { changedFile, shares } from './mixed-disk.js';
import type { BenchOptions } from './options.js';
import { runLong } from './stopwatch.js';

const pieceMiB = 4;

/** Defines a VM whose only disk, vda, is a copy of `base`, and starts it. */
export async function startBenchVm(host: TestHost, name: string, base: string, options: BenchOptions): Promise<TestVm> {
  const vm = await TestVm.define(host, { name, disks: [{ target: 'vda', sizeMiB: options.sizeGiB * 1024 }] });
  const file = join(vm.dir, 'vda.qcow2');
  await rm(file);
  await runLong(['cp', base, file]);
  await vm.start();
  return vm;
}

/** In the guest: overwrites pieces of the big file, spread over its whole length, with data never seen before. */
export async function changeData(vm: TestVm, options: BenchOptions, seed: string): Promise<void> {
  const pieces = Math.ceil(options.changeMiB / pieceMiB);
  const stride = Math.floor(shares(options.dataGiB).random / pieces);
  await vm.mustShell(
    `set -e
printf '%s' '${seed}' | b3sum --raw --length $((${pieceMiB} * 1048576)) > /tmp/piece
i=0
while [ $i -lt ${pieces} ]; do
  dd if=/tmp/piece of=/mnt/vda/${changedFile} bs=1M seek=$((i * ${stride})) conv=notrunc 2>/dev/null
  i=$((i + 1))
done
rm /tmp/piece
sync`,
    600_000,
  );
}
