/** Puts what was seen of a domain together, as the port gives it. Owns that mapping; looks at nothing. Pure. */
import type { ObservedDisk, ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { refusalOf, type Layers } from './disk-refusals.js';
import type { DomainFacts } from './domain-facts.js';
import type { Definition } from './domain-reader.js';
import { listedBackingProblem, orphanProblem, powerState, type DiskStanding, type Known } from './observe.js';
import type { QemuProcess } from './qemu-processes.js';

/** A disk with its chain, or with what it is refused for. */
export function observedDisk(known: Known, { disk, definedPath }: DiskStanding, found: Layers | Error): ObservedDisk {
  const refusal = refusalOf(known.current, disk, found);
  const layers = refusal === undefined && !(found instanceof Error) ? found : [];
  return {
    target: disk.target,
    serial: disk.serial,
    format: layers[0]?.format ?? (disk.format === 'raw' ? 'raw' : 'qcow2'),
    virtualSizeBytes: layers[0]?.virtualSizeBytes ?? 0n,
    layers,
    definedPath: known.persistent === undefined ? undefined : definedPath,
    refusal,
  };
}

/** A domain that could be read, with the problems that its disks and processes show. */
export function assemble(
  known: Known,
  standings: readonly DiskStanding[],
  disks: readonly ObservedDisk[],
  process: QemuProcess | undefined,
): ObservedDomain {
  const { current, persistent } = known;
  const problems = standings.flatMap((standing) => standing.problem ?? []);
  if (known.qemu === undefined) {
    for (const { disk } of standings) {
      const chain = disks.find((one) => one.target === disk.target)?.layers ?? [];
      const problem =
        chain.length === 0
          ? undefined
          : listedBackingProblem(
              current,
              disk,
              chain.map((layer) => layer.path),
            );
      if (problem !== undefined) problems.push(problem);
    }
    if (process !== undefined) problems.push(orphanProblem(current.uuid, current.name, process.pid, true));
  }
  return {
    ...common(current, known),
    persistent: persistent !== undefined,
    runId: process?.runId,
    disks,
    snapshots: known.snapshots,
    problems,
  };
}

function common(current: DomainFacts, { state }: Definition) {
  const { uuid, name, guestAgentConnected, vcpus, memoryBytes, nvramPath } = current;
  return { uuid, name, state: powerState(state), guestAgent: guestAgentConnected, vcpus, memoryBytes, nvramPath };
}

/** A domain that libvirt lists and that cannot be read: every disk is refused for it. */
export function unreadable(definition: Definition, error: HoldfastError, process: QemuProcess | undefined): ObservedDomain {
  const { current, persistent } = definition;
  const message = `VM ${current.name} cannot be observed: ${error.message}`;
  const disks = current.disks.map((disk): ObservedDisk => {
    const defined = persistent?.disks.find((one) => one.target === disk.target);
    const fields = { vmId: current.uuid, target: disk.target, path: disk.path ?? '' };
    return {
      target: disk.target,
      serial: disk.serial,
      format: disk.format === 'raw' ? 'raw' : 'qcow2',
      virtualSizeBytes: 0n,
      layers: [],
      definedPath: defined?.path,
      refusal: { code: error.code, message, fields },
    };
  });
  return {
    ...common(current, definition),
    persistent: persistent !== undefined,
    runId: process?.runId,
    disks,
    snapshots: definition.snapshots,
    problems: [{ code: error.code, message, fields: { ...error.fields, vmId: current.uuid } }],
  };
}

/** A QEMU of which libvirt knows nothing. */
export function unknownOrphan(process: QemuProcess): ObservedDomain {
  return {
    uuid: process.uuid,
    name: process.name,
    state: 'running',
    persistent: false,
    runId: process.runId,
    guestAgent: false,
    vcpus: 0,
    memoryBytes: 0n,
    nvramPath: undefined,
    disks: [],
    snapshots: [],
    problems: [orphanProblem(process.uuid, process.name, process.pid, false)],
  };
}
