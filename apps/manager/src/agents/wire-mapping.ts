/** What agents say, from wire messages to our own types, exhaustively. */
import { plannedChangeSchema, type Operation as OperationView, type PlannedChange } from '@holdfast/shared/api/operations.js';
import { assertNever, HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { DomainState, type Disk, type Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { GetHostInfoResponse, WatchDomainsResponse } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import {
  OperationState,
  StepState,
  VmOutcome,
  type ErrorInfo,
  type Operation,
  type PlannedChange as WirePlannedChange,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type {
  AgentOperation,
  AgentOutcome,
  AgentResult,
  DomainChanges,
  HostInfo,
  SeenDisk,
  SeenDomain,
  SeenPowerState,
} from './agent-types.js';

export function toHostInfo(wire: GetHostInfoResponse): HostInfo {
  return {
    hostId: wire.hostId,
    hostname: wire.hostname,
    agentVersion: wire.agentVersion,
    protocolVersion: wire.protocolVersion,
    libvirtVersion: wire.libvirtVersion,
    qemuVersion: wire.qemuVersion,
    hypervisorAvailable: wire.hypervisorAvailable,
    primaryPools: wire.primaryPools.map(({ path, totalBytes, freeBytes }) => ({ path, totalBytes, freeBytes })),
    maxConcurrentOperations: wire.maxConcurrentOperations,
  };
}

export function toDomain(wire: Domain): SeenDomain {
  return {
    uuid: wire.uuid.toLowerCase(),
    name: wire.name,
    state: toPowerState(wire.state),
    guestAgent: wire.guestAgent,
    disks: wire.disks.map(toDisk),
    problems: wire.problems.map(toErrorData),
    snapshots: wire.snapshots,
  };
}

export function toDomainChanges(wire: WatchDomainsResponse): DomainChanges {
  return { full: wire.full, domains: wire.domains.map(toDomain), goneUuids: wire.goneUuids.map((uuid) => uuid.toLowerCase()) };
}

export function toErrorData(wire: ErrorInfo): ErrorData {
  return HoldfastError.fromData(wire).toData();
}

export function toOperation(wire: Operation | undefined): AgentOperation {
  if (wire === undefined) throw new HoldfastError('BUG', 'The agent answered without an operation.');
  return {
    id: wire.operationId,
    state: toOperationState(wire.state),
    revision: wire.revision,
    steps: wire.steps.map((step) => ({
      name: step.name,
      subject: step.subject,
      state: toStepState(step.state),
      startedAt: toTime(step.startedAtUnixMs),
      ...(step.finishedAtUnixMs === 0n ? {} : { finishedAt: toTime(step.finishedAtUnixMs) }),
    })),
    progress: wire.progress.map((part) => ({
      key: part.key,
      target: part.target,
      phase: part.phase,
      doneBytes: part.doneBytes.toString(),
      ...(part.totalBytes === 0n ? {} : { totalBytes: part.totalBytes.toString() }),
    })),
    error: wire.error === undefined ? null : toErrorData(wire.error),
    outcome: toOutcome(wire.vmOutcome),
    warnings: wire.warnings,
    result: toResult(wire.result),
  };
}

function toDisk(wire: Disk): SeenDisk {
  return {
    target: wire.target,
    serial: wire.serial,
    format: wire.format,
    virtualSizeBytes: wire.virtualSizeBytes,
    layers: wire.layers.map(({ path, format, inode, virtualSizeBytes, allocatedBytes }) => ({
      path,
      format,
      inode,
      virtualSizeBytes,
      allocatedBytes,
    })),
    refusal: wire.refusal === undefined ? null : toErrorData(wire.refusal),
  };
}

function toPowerState(state: DomainState): SeenPowerState {
  switch (state) {
    case DomainState.DOMAIN_STATE_RUNNING:
      return 'Running';
    case DomainState.DOMAIN_STATE_PAUSED:
      return 'Paused';
    case DomainState.DOMAIN_STATE_SHUT_OFF:
      return 'Stopped';
    case DomainState.DOMAIN_STATE_OTHER:
    case DomainState.DOMAIN_STATE_UNSPECIFIED:
    case DomainState.UNRECOGNIZED:
      return 'Other';
    default:
      return assertNever(state);
  }
}

function toOperationState(state: OperationState): OperationView['state'] {
  switch (state) {
    case OperationState.OPERATION_STATE_QUEUED:
      return 'Queued';
    case OperationState.OPERATION_STATE_RUNNING:
      return 'Running';
    case OperationState.OPERATION_STATE_UNDOING:
      return 'Undoing';
    case OperationState.OPERATION_STATE_SUCCEEDED:
      return 'Succeeded';
    case OperationState.OPERATION_STATE_FAILED:
      return 'Failed';
    case OperationState.OPERATION_STATE_CANCELLED:
      return 'Cancelled';
    case OperationState.OPERATION_STATE_UNSPECIFIED:
    case OperationState.UNRECOGNIZED:
      throw new HoldfastError(
        'VERSION_MISMATCH',
        `The agent says a state of an operation that this manager does not know (${state}).`,
      );
    default:
      return assertNever(state);
  }
}

function toStepState(state: StepState): OperationView['steps'][number]['state'] {
  switch (state) {
    case StepState.STEP_STATE_DONE:
      return 'Done';
    case StepState.STEP_STATE_FAILED:
      return 'Failed';
    case StepState.STEP_STATE_RUNNING:
    case StepState.STEP_STATE_UNSPECIFIED:
    case StepState.UNRECOGNIZED:
      return 'Running';
    default:
      return assertNever(state);
  }
}

function toOutcome(outcome: VmOutcome): AgentOutcome {
  switch (outcome) {
    case VmOutcome.VM_OUTCOME_AS_BEFORE:
      return 'AsBefore';
    case VmOutcome.VM_OUTCOME_AS_AFTER:
      return 'AsAfter';
    case VmOutcome.VM_OUTCOME_MERGE_PENDING:
      return 'MergePending';
    case VmOutcome.VM_OUTCOME_UNEXPLAINED:
      return 'Unexplained';
    case VmOutcome.VM_OUTCOME_UNSPECIFIED:
    case VmOutcome.UNRECOGNIZED:
      return 'Unknown';
    default:
      return assertNever(outcome);
  }
}

function toResult(result: Operation['result']): AgentResult | undefined {
  if (result === undefined) return undefined;
  switch (result.$case) {
    case 'takeBackup':
      return { kind: result.$case, value: result.value };
    case 'restoreBackup':
      return { kind: result.$case, value: result.value };
    case 'cleanupBackupError':
      return { kind: result.$case, value: { ...result.value, planned: result.value.planned.map(toPlannedChange) } };
    case 'releaseFiles':
      return { kind: result.$case, value: result.value };
    case 'deleteBackups':
      return { kind: result.$case, value: result.value };
    case 'takeVmSnapshot':
      return { kind: result.$case, value: result.value };
    case 'revertVmSnapshot':
      return { kind: result.$case, value: result.value };
    case 'deleteVmSnapshots':
      return { kind: result.$case, value: result.value };
    case 'compactChain':
      return { kind: result.$case, value: result.value };
    default:
      return assertNever(result);
  }
}

function toPlannedChange(wire: WirePlannedChange): PlannedChange {
  const action = plannedChangeSchema.shape.action.safeParse(wire.action);
  if (!action.success)
    throw new HoldfastError('VERSION_MISMATCH', `The agent plans something that this manager does not know ("${wire.action}").`);
  const { target, path, into, because, backupId } = wire;
  const said = Object.entries({ target, path, into, because, backupId }).filter(([, text]) => text !== '');
  return { action: action.data, ...Object.fromEntries(said) };
}

function toTime(unixMs: bigint): string {
  return new Date(Number(unixMs)).toISOString();
}
