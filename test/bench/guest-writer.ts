/**
 * A loop in the guest that writes to the disk all the time and notes when: what a frozen file system feels like from inside.
 * Owns two files in the guest. The clock is the guest's uptime, in hundredths of a second.
 */
import type { TestVm } from '../testbed/test-vm.js';

const beats = '/tmp/bench-beats';

/** Starts the loop; it goes on until `longestGap`. */
export async function startWriting(vm: TestVm): Promise<void> {
  await vm.mustShell(`rm -f ${beats}.stop; : > ${beats}
(while [ ! -e ${beats}.stop ]; do
  echo beat > /mnt/vda/beat
  read -r up idle < /proc/uptime
  echo "$up" >> ${beats}
  usleep 5000
done) > /dev/null 2>&1 &`);
}

/** Ends the loop; the longest time between two writes, in milliseconds. */
export async function longestGap(vm: TestVm): Promise<number> {
  const text = await vm.mustShell(`touch ${beats}.stop; cat ${beats}`);
  const times = text
    .trim()
    .split('\n')
    .map((line) => Math.round(Number(line) * 1000));
  return times.slice(1).reduce((longest, time, index) => Math.max(longest, time - (times[index] ?? time)), 0);
}
