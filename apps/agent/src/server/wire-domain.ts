/** Domains from our own types to the wire. Owns that direction. */
import type { ObservedDomain, PowerState } from '@holdfast/shared/chain/observed-domain.js';
import { DomainState, type Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import { wireError } from './wire-operation.js';

const STATES: Record<PowerState, DomainState> = {
  running: DomainState.DOMAIN_STATE_RUNNING,
  paused: DomainState.DOMAIN_STATE_PAUSED,
  'shut-off': DomainState.DOMAIN_STATE_SHUT_OFF,
  other: DomainState.DOMAIN_STATE_OTHER,
};

/** A domain as the protocol shows it. */
export function wireDomain(domain: ObservedDomain): Domain {
  return {
    uuid: domain.uuid,
    name: domain.name,
    state: STATES[domain.state],
    persistent: domain.persistent,
    guestAgent: domain.guestAgent,
    vcpus: domain.vcpus,
    memoryBytes: domain.memoryBytes,
    nvram: domain.nvramPath !== undefined,
    disks: domain.disks.map((disk) => ({
      target: disk.target,
      serial: disk.serial,
      format: disk.format,
      virtualSizeBytes: disk.virtualSizeBytes,
      layers: disk.layers.map((layer) => ({ ...layer })),
      refusal: disk.refusal && wireError(disk.refusal),
    })),
    problems: domain.problems.map(wireError),
    snapshots: domain.snapshots.map((snapshot) => ({
      name: snapshot.name,
      parentName: snapshot.parentName ?? '',
      createdAtUnixMs: BigInt(snapshot.createdAtUnixMs),
      current: snapshot.current,
      foreignKind: snapshot.foreignKind,
      disks: snapshot.disks.map(({ target, pinnedPath, overlayPath }) => ({ target, pinnedPath, overlayPath })),
    })),
  };
}
