/** Compares layers that lie in the primary pools of a zone with chains and records. Pure; looks at nothing. */
import type { SurveyedLayer } from '../../agents/agent-types.js';
import type { Finding } from './finding.js';

export interface PrimaryComparison {
  readonly hosts: readonly { readonly id: string; readonly name: string; readonly layers: readonly SurveyedLayer[] }[];
  /** Path → name of the VM that has it in a chain, on any host of the zone. */
  readonly inChains: ReadonlyMap<string, string>;
  /** Every path that a record names: deltas, overlays, files that restores left behind. */
  readonly recorded: ReadonlySet<string>;
  /** Every path that lay in the chain of a volume when its VM was last seen, also of VMs that are gone. */
  readonly lastSeen: ReadonlySet<string>;
}

/** Layers that nobody knows; of a pool that hosts share, once. */
export function comparePrimary({ hosts, inChains, recorded, lastSeen }: PrimaryComparison): Finding[] {
  const found = new Map<string, Finding>();
  for (const host of hosts) {
    for (const { path, inode, sizeBytes, allocatedBytes } of host.layers) {
      if (recorded.has(path)) continue;
      const same = [path, inode, sizeBytes].join('\0');
      if (found.has(same)) continue;
      const vm = inChains.get(path);
      // The disk of a VM that was undefined, say: its owner may define it again, and the layer holds what was written last.
      if (vm === undefined && lastSeen.has(path)) continue;
      const where = { path, hostId: host.id, allocatedBytes, inode };
      found.set(
        same,
        vm === undefined
          ? {
              ...{ ...where, kind: 'OrphanLayer' },
              message: `${path} on ${host.name} is a layer that no VM of the zone uses, or used when it was last seen, and no record names. It can be removed.`,
            }
          : {
              ...{ ...where, kind: 'UntrackedLayer' },
              message:
                `${path} on ${host.name} is in the chain of VM ${vm}, but in no record (of a database that was set back, perhaps). ` +
                'It holds data of the VM and stays; backups copy it as a part of the volume. ' +
                'The delta of a backup is merged by "holdfast vm finish-chain".',
            },
      );
    }
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}
