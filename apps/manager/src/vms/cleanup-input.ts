/** What a CleanupBackupError operation was asked to do. */
import { z } from 'zod';

/** `repair`: merge everything but the head's deltas and remove leftovers. `end-chain`: merge the head's as well. */
export const cleanupInputSchema = z.object({
  purpose: z.enum(['repair', 'end-chain']),
  dryRun: z.boolean(),
  /** Completes "a full backup, because …". */
  reason: z.string(),
});
export type CleanupInput = z.infer<typeof cleanupInputSchema>;
