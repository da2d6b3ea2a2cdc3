/** What a finding of its own is: a way in which libvirt, QEMU or a storage loses data, played against the product. */
import type { CrashBench } from '../crash-bench.js';

export interface Finding {
  /** As printed; CASES matches parts of it. */
  readonly name: string;
  /** Plays it on a fresh bench; returns words on what came of it, throws what is wrong. */
  play(bench: CrashBench): Promise<string>;
}
