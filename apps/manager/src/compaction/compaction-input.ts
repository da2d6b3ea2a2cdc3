/** What is kept of a wish to compact: its form in the queue, for who asks and for the handler. */
import { z } from 'zod';
import type { CompactionPair } from '@holdfast/shared/policy/compaction.js';
import type { NewOperation } from '../operations/operation-queue.js';
import type { VmEntity } from '../persistence/entities/vm.entities.js';

export const compactionInputSchema = z.object({ absorbedBackupId: z.uuid() });

/** One compaction for the queue. */
export function newCompaction(vm: VmEntity, { absorbedId, childId }: CompactionPair): NewOperation {
  const input: z.infer<typeof compactionInputSchema> = { absorbedBackupId: absorbedId };
  return { kind: 'CompactChain', vmId: vm.id, hostId: vm.hostId, backupId: childId, accountId: vm.accountId, input };
}
