/** Ends the open chain of a VM on record. Its deltas on primary are somebody else's: the caller's, or the next backup's. */
import type { EntityManager } from 'typeorm';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';

/** No backup continues the chain any more; the next one is full and shows the reason. */
export async function endChain(manager: EntityManager, vmId: string, reason: string): Promise<void> {
  const vm = await manager.findOneByOrFail(VmEntity, { id: vmId });
  if (vm.headBackupId === null) return;
  await manager.update(BackupEntity, { id: vm.headBackupId }, { endOfChain: true });
  await manager.update(VmEntity, { id: vmId }, { headBackupId: null, chainEndedReason: reason });
}
