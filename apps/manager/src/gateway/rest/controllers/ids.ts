/** Path parameters that are ids: a text that is none is refused with its name. */
import { z } from 'zod';

export {
  accountIdSchema,
  apiKeyIdSchema,
  backupIdSchema,
  hostIdSchema,
  offeringIdSchema,
  operationIdSchema,
  scheduleIdSchema,
  storageIdSchema,
  vmIdSchema,
  vmSnapshotIdSchema,
  zoneIdSchema,
} from '@holdfast/shared/ids/ids.js';

export const fileIdSchema = z.uuid();
export const settingNameSchema = z.string().min(1).max(255);
