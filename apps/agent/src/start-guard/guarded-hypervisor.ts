/**
 * The hypervisor as the running agent uses it: every look at a VM and every change of its disks is told to the start guard.
 * Owns that telling alone; what is asked goes to the real hypervisor unchanged.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { readDomain } from '../hypervisor/domain-facts.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { StartGuard } from './start-guard.js';

type Guard = Pick<StartGuard, 'now' | 'saw' | 'sawAll' | 'pointing' | 'changed'>;

/** The hypervisor with a guard that hears of it all. */
export function guardedHypervisor(real: Hypervisor, guard: Guard): Hypervisor {
  const changing = async <T>(uuid: string, change: () => Promise<T>): Promise<T> => {
    guard.changed(uuid);
    try {
      return await change();
    } finally {
      guard.changed(uuid);
    }
  };
  const guarded: Partial<Hypervisor> = {
    async observe(uuid): Promise<ObservedDomain | undefined> {
      const since = guard.now();
      const domain = await real.observe(uuid);
      if (domain !== undefined) guard.saw(domain, since);
      return domain;
    },
    async observeAll(): Promise<ObservedDomain[]> {
      const since = guard.now();
      const domains = await real.observeAll();
      guard.sawAll(domains, since);
      return domains;
    },
    async define(xml): Promise<void> {
      const { uuid, disks } = readDomain(xml);
      await changing(uuid, async () => {
        // Before: a death right after the define must not leave the VM refused what it was just given.
        await guard.pointing(
          uuid,
          disks.flatMap((disk) => disk.path ?? []),
        );
        await real.define(xml);
      });
    },
    snapshotDisks: (uuid, disks) => changing(uuid, () => real.snapshotDisks(uuid, disks)),
    pivot: (uuid, target) => changing(uuid, () => real.pivot(uuid, target)),
    bringQemuBackInStep: (uuid) => changing(uuid, () => real.bringQemuBackInStep(uuid)),
    tendOrphan: (uuid) =>
      changing(uuid, async () => {
        await real.tendOrphan(uuid);
        // The definition names what the orphan writes to, and nothing that runs can tell so later.
        await guard.pointing(uuid, (await real.definedSources(uuid)).values());
      }),
  };
  return new Proxy(real, {
    get(target, name) {
      const own: unknown = Reflect.get(guarded, name) ?? Reflect.get(target, name);
      return typeof own === 'function' ? (own.bind(target) as unknown) : own;
    },
  });
}
