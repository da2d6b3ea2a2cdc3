/**
 * What people do to a VM with virsh while an operation runs, which nothing can queue. Adding one means adding a line here and a
 * column to the table. Starts, stops and migrations are struck at every step by test/crash and test/system/moving-vm.
 */
import type { CrashBench } from '../crash/crash-bench.js';

export interface OtherHand {
  readonly name: string;
  act(bench: CrashBench): Promise<void>;
  /** What was done is still there, and is taken away by whoever did it. The VM runs. */
  conclude(bench: CrashBench): Promise<void>;
}

const TEXT = 'edited meanwhile';

export const OTHER_HANDS: readonly OtherHand[] = [
  {
    name: 'virsh-snapshot',
    act: ({ foreignLayers }) => foreignLayers.put(),
    async conclude({ foreignLayers }) {
      if (!(await foreignLayers.onTop())) throw new Error('the layer that virsh put on top is gone');
      await foreignLayers.commit();
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
];
