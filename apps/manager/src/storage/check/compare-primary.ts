/** Compares files of Holdfast that lie in the primary pools of a zone with chains and records. Pure; looks at nothing. */
import { primaryFileKind } from '@holdfast/shared/chain/layer-names.js';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { SurveyedLayer } from '../../agents/agent-types.js';
import type { Finding } from './finding.js';

const KIND = { layer: 'OrphanLayer', restored: 'OrphanVolume', partial: 'PartialFile' } as const;
/** As the message says it. */
const WHAT = {
  layer: 'a layer',
  restored: 'a restored volume',
  partial: 'the unfinished file of a restore or revert, one',
};

export interface PrimaryComparison {
  readonly hosts: readonly { readonly id: string; readonly name: string; readonly layers: readonly SurveyedLayer[] }[];
  /** Path → name of the VM that has it in a chain, on any host of the zone. */
  readonly inChains: ReadonlyMap<string, string>;
  /** Every path that a record names: deltas, overlays, disks, what operations are making, files that restores left behind. */
  readonly recorded: ReadonlySet<string>;
  /** Every path that lay in the chain of a volume when its VM was last seen, also of VMs that are gone. */
  readonly lastSeen: ReadonlySet<string>;
  /** A host makes files on primary that no VM uses yet, by an operation that may be in no record: those are not judged now. */
  readonly beingMade: boolean;
}

/** Files that nobody knows; of a pool that hosts share, once. */
export function comparePrimary({ hosts, inChains, recorded, lastSeen, beingMade }: PrimaryComparison): Finding[] {
  const found = new Map<string, Finding>();
  for (const host of hosts) {
    for (const { path, inode, sizeBytes, allocatedBytes } of host.layers) {
      const named = primaryFileKind(path) ?? 'layer';
      if (recorded.has(path) || (named !== 'layer' && beingMade)) continue;
      // What an operation is writing is recorded under the name that it will have.
      if (named === 'partial' && recorded.has(path.slice(0, -PARTIAL_SUFFIX.length))) continue;
      const same = [path, inode, sizeBytes].join('\0');
      if (found.has(same)) continue;
      const vm = inChains.get(path);
      // A restored volume is a disk like any other: a VM that has it needs no record for that.
      if (vm !== undefined && named !== 'layer') continue;
      // The disk of a VM that was undefined, say: its owner may define it again, and the layer holds what was written last.
      if (vm === undefined && lastSeen.has(path)) continue;
      const where = { path, hostId: host.id, allocatedBytes, inode };
      found.set(
        same,
        vm === undefined
          ? {
              ...{ ...where, kind: KIND[named] },
              message: `${path} on ${host.name} is ${WHAT[named]} that no VM of the zone uses, or used when it was last seen, and no record names. It can be removed.`,
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
