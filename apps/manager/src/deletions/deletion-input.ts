/** What a DeleteBackups operation was asked to do. */
import { z } from 'zod';

export const deletionInputSchema = z.object({
  ids: z.array(z.uuid()),
  forced: z.boolean(),
  /** The account that asked: it takes nothing of another with it. Null: an administrator, or Holdfast itself. */
  accountId: z.uuid().nullable(),
});
export type DeletionInput = z.infer<typeof deletionInputSchema>;
