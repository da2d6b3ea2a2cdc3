/**
 * Compares what libvirt says of a running or stopped domain with what QEMU has open, and names what does not agree.
 * Pure: facts in, verdicts with their way out. Must not look at anything itself.
 *
 * What is true: of a domain with a QEMU process, what QEMU has open; of a stopped one, its persistent definition and the
 * headers of its images. What libvirt says is compared with that.
 */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { ObservedSnapshot, PowerState } from '@holdfast/shared/chain/observed-domain.js';
import type { DiskFacts, DomainFacts } from './domain-facts.js';
import { qemuDiskOf, type QemuDisk } from './qemu-block.js';

/** libvirt's virDomainState and the reasons of "paused" and "shut off" that matter here. */
export interface DomainState {
  readonly state: number;
  readonly reason: number;
}

const PAUSED = 3;
/** Paused without libvirt having been asked: through QEMU's monitor. */
export const PAUSED_BEHIND_LIBVIRT = 0;
const SHUT_OFF = 5;
const SHUT_OFF_BY_MIGRATION = 4;

/** virDomainState in the words of ObservedDomain. */
export function powerState({ state }: DomainState): PowerState {
  if (state === 1 || state === 2) return 'running';
  if (state === PAUSED) return 'paused';
  // A crashed domain is off: it has no process any more, and libvirt says "crashed" as the reason of being shut off.
  return state === SHUT_OFF ? 'shut-off' : 'other';
}

/**
 * True when the VM was migrated to another host and only its old definition is here, which knows nothing of what happened to
 * the disks since: nothing may be done by it. libvirt forgets this with a restart of libvirtd; then image locks are what is left.
 */
export function movedAway({ state, reason }: DomainState): boolean {
  return state === SHUT_OFF && reason === SHUT_OFF_BY_MIGRATION;
}

/** Reads `virsh domstats --raw --state` of one domain. Undefined when it holds no state. */
export function readState(text: string): DomainState | undefined {
  const state = /^\s*state\.state=(\d+)$/m.exec(text)?.[1];
  const reason = /^\s*state\.reason=(\d+)$/m.exec(text)?.[1];
  return state === undefined ? undefined : { state: Number(state), reason: Number(reason ?? '0') };
}

export interface Known {
  /** The live definition of a domain with a QEMU, the persistent one of a domain without. */
  readonly current: DomainFacts;
  /** Undefined for a transient domain. */
  readonly persistent: DomainFacts | undefined;
  /** Undefined: no QEMU runs. */
  readonly qemu: readonly QemuDisk[] | undefined;
  readonly state: DomainState;
  /** Those that libvirt keeps record of. */
  readonly snapshots: readonly ObservedSnapshot[];
}

/** How one disk stands. */
export interface DiskStanding {
  readonly disk: DiskFacts;
  /** False: it is only in the persistent definition of a running domain. */
  readonly attached: boolean;
  readonly qemu: QemuDisk | undefined;
  readonly definedPath: string | undefined;
  readonly problem: ErrorData | undefined;
}

/** Every hard disk of the domain with what does not agree about it; disks that are only in the persistent definition come last. */
export function compareDisks(known: Known): DiskStanding[] {
  const { current, persistent, qemu } = known;
  const standings = current.disks.map((disk): DiskStanding => {
    const defined = persistent?.disks.find((one) => one.target === disk.target);
    const open = qemu === undefined ? undefined : qemuDiskOf(disk, qemu);
    return { disk, attached: true, qemu: open, definedPath: defined?.path, problem: problemOf(known, disk, open, defined) };
  });
  if (qemu === undefined || persistent === undefined) return standings;
  const absent = persistent.disks.filter((disk) => !current.disks.some((one) => one.target === disk.target));
  return [
    ...standings,
    ...absent.map((disk) => ({
      disk,
      attached: false,
      qemu: undefined,
      definedPath: disk.path,
      problem: onlyDefined(current, disk),
    })),
  ];
}

function problemOf(
  known: Known,
  disk: DiskFacts,
  open: QemuDisk | undefined,
  defined: DiskFacts | undefined,
): ErrorData | undefined {
  const { current, persistent, qemu } = known;
  if (disk.unsupported !== undefined || qemu === undefined) return undefined;
  const where = { vmId: current.uuid, target: disk.target };
  const actual = open?.layers[0]?.path;
  if (!samePath(actual, disk.path)) {
    return {
      code: 'HYPERVISOR_OUT_OF_STEP',
      message:
        `Disk ${disk.target} of VM ${current.name}: libvirt names ${disk.path}, but QEMU writes to ${actual ?? 'no plain file for it'}. ` +
        'Do not shut the VM down before this is mended: it would start from the wrong file. Holdfast mends it with its next work on the VM (finish the backup chain).',
      fields: { ...where, definedPath: disk.path ?? '', qemuPath: actual ?? '' },
    };
  }
  if (persistent === undefined) return undefined;
  if (defined === undefined) {
    return {
      code: 'DEFINITION_DRIFT',
      message: `Disk ${disk.target} of VM ${current.name} (${disk.path}) is attached now but missing in the persistent definition. Add it there (virsh attach-device --config) or detach it.`,
      fields: where,
    };
  }
  if (!samePath(defined.path, disk.path)) return definedElsewhere(known, disk, defined);
  return listedBackingProblem(current, defined, open?.layers.map((layer) => layer.path) ?? []);
}

function definedElsewhere(known: Known, disk: DiskFacts, defined: DiskFacts): ErrorData {
  const { current } = known;
  const fields = { vmId: current.uuid, target: disk.target, runningPath: disk.path ?? '', definedPath: defined.path ?? '' };
  if (isPausedBehindLibvirt(known.state)) {
    return {
      code: 'HYPERVISOR_OUT_OF_STEP',
      message:
        `Disk ${disk.target} of VM ${current.name} runs on ${disk.path} but would start from ${defined.path}, and its guest was paused through QEMU itself: ` +
        'work on it was interrupted. Holdfast finishes it with its next work on the VM (finish the backup chain).',
      fields,
    };
  }
  return {
    code: 'DEFINITION_DRIFT',
    message:
      `Disk ${disk.target} of VM ${current.name} runs on ${disk.path} but would start from ${defined.path}. ` +
      `Point the definition at the running file (virsh edit), or restart the VM if the change was meant; then back up again.`,
    fields,
  };
}

function onlyDefined(current: DomainFacts, disk: DiskFacts): ErrorData | undefined {
  if (disk.unsupported !== undefined) return undefined;
  return {
    code: 'DEFINITION_DRIFT',
    message: `Disk ${disk.target} of VM ${current.name} (${disk.path}) is in the persistent definition but not attached now. Attach it or remove it from the definition.`,
    fields: { vmId: current.uuid, target: disk.target, definedPath: disk.path ?? '' },
  };
}

/**
 * Backing files that a persistent definition lists itself must be those of the chain: libvirt obeys the list at a start,
 * whatever the image headers say. `chain`: the real one, active layer first.
 */
export function listedBackingProblem(
  domain: Pick<DomainFacts, 'uuid' | 'name'>,
  defined: DiskFacts,
  chain: readonly (string | undefined)[],
): ErrorData | undefined {
  const listed = defined.listedBacking.map((backing) => backing.path);
  const below = chain.slice(1);
  const agrees =
    listed.every((path, index) => samePath(path, below[index])) && (!defined.backingIsWhole || listed.length === below.length);
  if (agrees) return undefined;
  return {
    code: 'DEFINITION_DRIFT',
    message:
      `The persistent definition of VM ${domain.name} lists ${listed.join(', ') || 'no backing file'} under disk ${defined.target}, but the chain is ${below.join(', ') || 'without a backing file'}. ` +
      'libvirt would obey the list at the next start. Remove <backingStore> from that disk (virsh edit).',
    fields: { vmId: domain.uuid, target: defined.target, definedPath: defined.path ?? '' },
  };
}

export function isPausedBehindLibvirt({ state, reason }: DomainState): boolean {
  return state === PAUSED && reason === PAUSED_BEHIND_LIBVIRT;
}

/**
 * Equal as far as libvirt can say: it writes line breaks into attributes without escaping them, so that they come back as
 * spaces. A disk with such a name is refused for that (see `brokenByLibvirt`), not taken for another file.
 */
export function samePath(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a.replace(/[\n\r\t]/g, ' ') === b.replace(/[\n\r\t]/g, ' ');
}

/** True for a path that libvirt cannot carry through its own XML. */
export function brokenByLibvirt(path: string): boolean {
  return /[\n\r\t]/.test(path);
}

/** A QEMU runs for a domain that libvirt calls shut off, or does not know. */
export function orphanProblem(uuid: string, name: string, pid: number, known: boolean): ErrorData {
  return {
    code: 'ORPHANED_QEMU',
    message:
      `VM ${name} (${uuid}) still runs as process ${pid}, but libvirt ${known ? 'says that it is shut off' : 'does not know it'}. ` +
      'Do not start it: two processes would write to its disks. Shut the guest down from inside, wait until the process has ended, then start the VM.',
    fields: { vmId: uuid, pid: String(pid) },
  };
}
