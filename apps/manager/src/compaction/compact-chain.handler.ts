/**
 * CompactChain: the oldest, deleted backup of a chain is merged with its child on storage. Owns when it waits, and what is
 * recorded of it: the child is full then, and the deleted backup is gone. No disk of the VM is touched, so its protection is
 * none of its business. What a failure leaves is on storage, and the next one goes on with it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, In, IsNull, Not, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { compactablePairs } from '@holdfast/shared/policy/compaction.js';
import type { AgentOperation, CompactedChain } from '../agents/agent-types.js';
import { mergedInto } from '../backups/manifest-record.js';
import { DeletionRecorder } from '../deletions/deletion-recorder.js';
import { findUpHost, hostProblem, requireHost } from '../inventory/host-lookup.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { SettingsService } from '../settings/settings.service.js';
import { storageAccess } from '../storage/storage-view.js';
import { compactionInputSchema } from './compaction-input.js';

const BYTES_PER_MB = 1_000_000n;

@Injectable()
export class CompactChainHandler implements OperationHandler {
  readonly kind = 'CompactChain';

  constructor(
    private readonly dataSource: DataSource,
    private readonly settings: SettingsService,
    private readonly recorder: DeletionRecorder,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const manager = this.dataSource.manager;
    const { absorbedBackupId } = compactionInputSchema.parse(operation.input);
    const child = await manager.findOneByOrFail(BackupEntity, { id: operation.backupId ?? '' });
    const backups = await manager.findBy(BackupEntity, { vmId: operation.vmId });
    const pair = compactablePairs(backups).find(
      ({ childId, absorbedId }) => childId === child.id && absorbedId === absorbedBackupId,
    );
    if (pair === undefined) throw nothingToCompact(child);
    const reader = await readerElsewhere(manager, operation, backups);
    if (reader !== undefined) return { kind: 'wait', reason: `operation ${reader.id}, which reads the chain` };
    const vm = await manager.findOneByOrFail(VmEntity, { id: operation.vmId });
    const hostId = await anyHost(manager, vm);
    if (hostId === undefined) return { kind: 'wait', reason: 'a host of the zone that can take work' };
    const storage = await manager.findOneByOrFail(StorageEntity, { id: child.storageId });
    const megabytes = await this.settings.resolve('backup.compaction.rate.limit', vm.zoneId, manager);
    const request = {
      storage: storageAccess(storage),
      absorbedBackupId,
      childBackupId: child.id,
      bytesPerSecond: String(BigInt(Math.max(0, megabytes)) * BYTES_PER_MB),
    };
    return { kind: 'send', hostId, command: { kind: 'compactChain', request }, record: async () => {} };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, outcome: AgentOperation): Promise<void> {
    if (outcome.state !== 'Succeeded' || outcome.result?.kind !== 'compactChain') return;
    await this.recordSuccess(manager, operation, outcome.result.value);
  }

  async applyRefusal(): Promise<void> {
    // Nothing was written down before.
  }

  async applyLoss(): Promise<void> {
    // The storage says how far it came, and the next compaction reads it there.
  }

  private async recordSuccess(manager: EntityManager, operation: OperationEntity, result: CompactedChain): Promise<void> {
    const { absorbedBackupId } = compactionInputSchema.parse(operation.input);
    const absorbed = await manager.findOneByOrFail(BackupEntity, { id: absorbedBackupId });
    const childId = operation.backupId ?? '';
    await manager.update(
      BackupEntity,
      { id: childId },
      {
        type: 'FULL',
        parentId: null,
        sizeBytes: result.sizeBytes,
        fullReason: mergedInto(absorbed),
      },
    );
    for (const { key, sizeBytes, digest } of result.volumes) {
      await manager.update(
        BackupVolumeEntity,
        { backupId: childId, key },
        { sizeBytes, digest, parentFile: null, copiedInFull: true, copiedInFullReason: null },
      );
    }
    await this.recorder.expunged(manager, [absorbedBackupId]);
  }
}

/** What is said when there is nothing that could be merged into this backup. */
export function nothingToCompact(child: BackupEntity): HoldfastError {
  return new HoldfastError(
    'WRONG_STATE',
    `There is nothing to merge into the backup "${child.name}": it must be the only backup that is based on the oldest of its chain, and that one must be deleted.`,
    { backupId: child.id },
  );
}

/** An operation of another VM that reads one of these backups. Those of this VM run before or after. */
async function readerElsewhere(
  manager: EntityManager,
  operation: OperationEntity,
  backups: readonly BackupEntity[],
): Promise<OperationEntity | undefined> {
  const found = await manager.findOneBy(OperationEntity, {
    backupId: In(backups.map(({ id }) => id)),
    vmId: Not(operation.vmId),
    state: In(['Queued', 'Running', 'Undoing']),
    request: Not(IsNull()),
  });
  return found ?? undefined;
}

/** The VM's own host when it can work, else any of the zone: storages are reached by all. */
async function anyHost(manager: EntityManager, vm: VmEntity): Promise<string | undefined> {
  const own = vm.hostId === null ? undefined : await requireHost(manager, vm.hostId);
  if (own !== undefined && hostProblem(own) === undefined) return own.id;
  return (await findUpHost(manager, vm.zoneId))?.id;
}
