/** Reads from the database what planning a deletion needs. Must not decide. */
import type { EntityManager } from 'typeorm';
import type { DeletionFacts } from '@holdfast/shared/policy/deletion.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity, UNFINISHED } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import type { DeletionInput } from './deletion-input.js';

/** `turn`: place in the queue of the operation that plans; what the VM's queue runs after it has not begun and is in nobody's way. */
export async function readDeletionFacts(
  manager: EntityManager,
  vmId: string,
  input: DeletionInput,
  turn?: bigint,
): Promise<DeletionFacts> {
  const vm = await manager.findOneByOrFail(VmEntity, { id: vmId });
  const backups = await manager.find(BackupEntity, { where: { vmId }, order: { seq: 'ASC' } });
  const busy = await manager
    .createQueryBuilder(OperationEntity, 'o')
    .where(`o.${UNFINISHED} AND o.kind <> 'DeleteBackups'`)
    .andWhere('o.backup_id IN (SELECT id FROM backup WHERE vm_id = :vmId)', { vmId })
    .getMany();
  const inTheWay = busy.filter((operation) => turn === undefined || operation.vmId !== vmId || operation.seq < turn);
  return {
    backups: backups.map((row) => ({
      id: row.id,
      name: row.name,
      state: row.state,
      parentId: row.parentId,
      storageId: row.storageId,
      published: row.frozenAt !== null,
      leftovers: row.leftoversOnStorage,
      isolated: row.isolated,
      endOfChain: row.endOfChain,
      protected: row.protected,
      foreign: input.accountId !== null && row.accountId !== input.accountId,
      busyWith: inTheWay.find((operation) => operation.backupId === row.id)?.id,
    })),
    headBackupId: vm.headBackupId,
    ids: input.ids,
    forced: input.forced,
  };
}
