/** Operation rows as the public API shows them. */
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { BackupId, HostId, OperationId, VmId, VmSnapshotId } from '@holdfast/shared/ids/ids.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';

export function operationView(row: OperationEntity): Operation {
  return {
    id: row.id as OperationId,
    kind: row.kind,
    state: row.state,
    vmId: row.vmId as VmId,
    ...(row.hostId === null ? {} : { hostId: row.hostId as HostId }),
    ...(row.backupId === null ? {} : { backupId: row.backupId as BackupId }),
    ...(row.vmSnapshotId === null ? {} : { vmSnapshotId: row.vmSnapshotId as VmSnapshotId }),
    revision: Number(row.revision),
    steps: row.steps,
    progress: row.progress,
    ...(row.error === null ? {} : { error: { ...row.error, fields: { ...row.error.fields } } }),
    warnings: row.warnings,
    ...(row.plan === null ? {} : { plan: row.plan }),
    ...(row.planned === null ? {} : { planned: row.planned }),
    cancelRequested: row.cancelRequested,
    ...(row.waitingFor === null ? {} : { waitingFor: row.waitingFor }),
    createdAt: row.createdAt.toISOString(),
    ...(row.startedAt === null ? {} : { startedAt: row.startedAt.toISOString() }),
    ...(row.finishedAt === null ? {} : { finishedAt: row.finishedAt.toISOString() }),
  };
}

/** True for a state that nothing follows. */
export function isFinished(state: Operation['state']): boolean {
  return state === 'Succeeded' || state === 'Failed' || state === 'Cancelled';
}
