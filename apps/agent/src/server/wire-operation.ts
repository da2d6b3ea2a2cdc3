/** Operations and errors from our own types to the wire. Owns that direction; every name is mapped, checked by the compiler. */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import {
  OperationKind,
  OperationState,
  StepState,
  VmOutcome,
  type ChainChanges as WireChainChanges,
  type ErrorInfo,
  type Operation,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Commands } from '../commands/index.js';
import type { ChainChanges } from '../commands/requests.js';
import type { OperationKindName, VmOutcomeName } from '../operations/command.js';
import type { OperationStateName, OperationView, StepStateName } from '../operations/operation-view.js';

const KINDS: Record<OperationKindName, OperationKind> = {
  TakeBackup: OperationKind.OPERATION_KIND_TAKE_BACKUP,
  RestoreBackup: OperationKind.OPERATION_KIND_RESTORE_BACKUP,
  CleanupBackupError: OperationKind.OPERATION_KIND_CLEANUP_BACKUP_ERROR,
  ReleaseFiles: OperationKind.OPERATION_KIND_RELEASE_FILES,
  DeleteBackups: OperationKind.OPERATION_KIND_DELETE_BACKUPS,
  TakeVmSnapshot: OperationKind.OPERATION_KIND_TAKE_VM_SNAPSHOT,
  RevertVmSnapshot: OperationKind.OPERATION_KIND_REVERT_VM_SNAPSHOT,
  DeleteVmSnapshots: OperationKind.OPERATION_KIND_DELETE_VM_SNAPSHOTS,
  CompactChain: OperationKind.OPERATION_KIND_COMPACT_CHAIN,
};
const STATES: Record<OperationStateName, OperationState> = {
  Queued: OperationState.OPERATION_STATE_QUEUED,
  Running: OperationState.OPERATION_STATE_RUNNING,
  Undoing: OperationState.OPERATION_STATE_UNDOING,
  Succeeded: OperationState.OPERATION_STATE_SUCCEEDED,
  Failed: OperationState.OPERATION_STATE_FAILED,
  Cancelled: OperationState.OPERATION_STATE_CANCELLED,
};
const STEP_STATES: Record<StepStateName, StepState> = {
  Running: StepState.STEP_STATE_RUNNING,
  Done: StepState.STEP_STATE_DONE,
  Failed: StepState.STEP_STATE_FAILED,
};
const OUTCOMES: Record<VmOutcomeName, VmOutcome> = {
  AsBefore: VmOutcome.VM_OUTCOME_AS_BEFORE,
  AsAfter: VmOutcome.VM_OUTCOME_AS_AFTER,
  MergePending: VmOutcome.VM_OUTCOME_MERGE_PENDING,
  Unexplained: VmOutcome.VM_OUTCOME_UNEXPLAINED,
};

/** Codecs of results, by kind: all that is needed of the commands here. */
export type ResultCodecs = { readonly [K in keyof Commands]: Pick<Commands[K], 'resultCodec'> };

/** An operation as the protocol shows it. */
export function wireOperation(view: OperationView, codecs: ResultCodecs): Operation {
  return {
    operationId: view.operationId,
    kind: KINDS[view.kind],
    vmUuid: view.vmUuid,
    state: STATES[view.state],
    revision: view.revision,
    acceptedAtUnixMs: BigInt(view.acceptedAtMs),
    finishedAtUnixMs: time(view.finishedAtMs),
    steps: view.steps.map((step) => ({
      name: step.name,
      subject: step.subject,
      state: STEP_STATES[step.state],
      startedAtUnixMs: time(step.startedAtMs),
      finishedAtUnixMs: time(step.finishedAtMs),
    })),
    progress: view.progress.map((report) => ({ ...report })),
    error: view.error && wireError(view.error),
    vmOutcome: view.vmOutcome === undefined ? VmOutcome.VM_OUTCOME_UNSPECIFIED : OUTCOMES[view.vmOutcome],
    warnings: [...view.warnings],
    result: wireResult(view, codecs),
  };
}

/** An error inside another message. */
export function wireError(error: ErrorData): ErrorInfo {
  return { code: error.code, message: error.message, fields: { ...error.fields } };
}

function wireResult(view: OperationView, codecs: ResultCodecs): Operation['result'] {
  if (view.result === undefined) return undefined;
  switch (view.kind) {
    case 'TakeBackup': {
      const result = codecs.TakeBackup.resultCodec.decode(view.result);
      const volumes = result.volumes.map((volume) => ({
        ...volume,
        deltaPath: volume.deltaPath ?? '',
        deltaInode: volume.deltaInode ?? 0n,
      }));
      return {
        $case: 'takeBackup',
        value: { ...result, volumes, frozenAtUnixMs: BigInt(result.frozenAtUnixMs), changes: wireChanges(result.changes) },
      };
    }
    case 'RestoreBackup': {
      const result = codecs.RestoreBackup.resultCodec.decode(view.result);
      return {
        $case: 'restoreBackup',
        value: {
          volumes: result.volumes.map((volume) => ({ ...volume, oldPaths: [...volume.oldPaths] })),
          changes: wireChanges(result.changes),
        },
      };
    }
    case 'CleanupBackupError': {
      const result = codecs.CleanupBackupError.resultCodec.decode(view.result);
      return {
        $case: 'cleanupBackupError',
        value: {
          plan: [...result.plan],
          planned: result.planned.map(({ action, target = '', path = '', into = '', because = '', backupId = '' }) => ({
            action,
            target,
            path,
            into,
            because,
            backupId,
          })),
          activePaths: { ...result.activePaths },
          changes: wireChanges(result.changes),
          published: [...(result.published ?? [])],
        },
      };
    }
    case 'ReleaseFiles':
      return { $case: 'releaseFiles', value: codecs.ReleaseFiles.resultCodec.decode(view.result) };
    case 'DeleteBackups': {
      const { expungedBackupIds, freedBytes, changes } = codecs.DeleteBackups.resultCodec.decode(view.result);
      const value = { expungedBackupIds: [...expungedBackupIds], freedBytes, changes: wireChanges(changes) };
      return { $case: 'deleteBackups', value };
    }
    case 'TakeVmSnapshot': {
      const result = codecs.TakeVmSnapshot.resultCodec.decode(view.result);
      const frozenAtUnixMs = BigInt(result.frozenAtUnixMs);
      return { $case: 'takeVmSnapshot', value: { ...result, volumes: [...result.volumes], frozenAtUnixMs } };
    }
    case 'RevertVmSnapshot': {
      const { volumes, changes } = codecs.RevertVmSnapshot.resultCodec.decode(view.result);
      return { $case: 'revertVmSnapshot', value: { volumes: [...volumes], changes: wireChanges(changes) } };
    }
    case 'DeleteVmSnapshots': {
      const { changes } = codecs.DeleteVmSnapshots.resultCodec.decode(view.result);
      return { $case: 'deleteVmSnapshots', value: { changes: wireChanges(changes) } };
    }
    case 'CompactChain': {
      const result = codecs.CompactChain.resultCodec.decode(view.result);
      return { $case: 'compactChain', value: { ...result, volumes: result.volumes.map((volume) => ({ ...volume })) } };
    }
  }
}

/** What an operation changed on primary, as the protocol shows it. */
export function wireChanges(changes: ChainChanges): WireChainChanges {
  return {
    removedPaths: [...changes.removedPaths],
    leftPaths: [...changes.leftPaths],
    movedPins: changes.movedPins.map((pin) => ({ ...pin })),
  };
}

/** On the wire a time that is not there is 0. */
function time(ms: number | undefined): bigint {
  return BigInt(ms ?? 0);
}
