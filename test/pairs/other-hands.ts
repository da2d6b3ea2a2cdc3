/**
 * What people do to a VM with virsh while an operation runs, which nothing can queue. Adding one means adding a line here and a
 * column to the table. Starts and stops are struck at every step by test/crash.
 */
import type { CrashBench } from '../crash/crash-bench.js';

export interface OtherHand {
  readonly name: string;
  /** It can be done to a running VM alone. */
  readonly running?: boolean;
  act(bench: CrashBench): Promise<void>;
  /** What was done is still there, and is taken away by whoever did it. The VM runs. */
  conclude(bench: CrashBench): Promise<void>;
}

/** The VM's definition leaves with it. */
const MOVE = { undefineSource: true };
const TEXT = 'edited meanwhile';

export const OTHER_HANDS: readonly OtherHand[] = [
  {
    name: 'virsh-snapshot',
    act: ({ foreignLayers }) => foreignLayers.put(),
    // A restore leaves it behind with the other former files of the VM; whoever else works on the VM works below it.
    async conclude({ foreignLayers }) {
      if (await foreignLayers.onTop()) await foreignLayers.commit();
      else if (!foreignLayers.lastIsThere()) throw new Error('the layer that virsh put on top is gone');
    },
  },
  {
    name: 'edited-definition',
    act: async ({ vm }) => void (await vm.host.virsh('desc', vm.uuid, '--config', '--new-desc', TEXT)),
    async conclude({ vm }) {
      const text = (await vm.host.virsh('desc', vm.uuid, '--config')).trim();
      if (text !== TEXT) throw new Error(`what was edited is gone from the definition: it says "${text}"`);
      await vm.host.virsh('desc', vm.uuid, '--config', '--new-desc', '');
    },
  },
  {
    name: 'migration',
    running: true,
    act: (bench) => bench.migrate(bench.hosts.other, MOVE),
    conclude: (bench) => bench.migrate(bench.hosts.home, MOVE),
  },
];
