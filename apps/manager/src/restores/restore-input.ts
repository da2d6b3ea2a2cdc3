/** What a RestoreBackup operation was asked to do. */
import { z } from 'zod';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

export const restoreInputSchema = z.object({
  acceptDamaged: z.boolean(),
  dropSnapshots: z.boolean().default(false),
  hostId: z.uuid().nullable(),
});
export type RestoreInput = z.infer<typeof restoreInputSchema>;

export function vmRunning(vm: { readonly id: string; readonly name: string }): HoldfastError {
  return new HoldfastError('VM_RUNNING', `The VM "${vm.name}" is running. Shut it down, then restore it.`, { vmId: vm.id });
}
