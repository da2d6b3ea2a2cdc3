/** Accounts, roles, API keys and settings as the public API shows them. */
import { z } from 'zod';
import { accountIdSchema, apiKeyIdSchema } from '../ids/ids.js';
import { nameSchema, textSchema, timeSchema } from './common.js';

/** `admin`: everything. `user`: own account's VMs, backups and operations; another's id answers like one that does not exist. */
export const roleSchema = z.enum(['admin', 'user']);
export type Role = z.infer<typeof roleSchema>;

export const accountSchema = z.object({ id: accountIdSchema, name: z.string(), createdAt: timeSchema });
export type Account = z.infer<typeof accountSchema>;
export const createAccountSchema = z.object({ name: nameSchema });
export type CreateAccount = z.infer<typeof createAccountSchema>;

export const apiKeySchema = z.object({
  id: apiKeyIdSchema,
  name: z.string(),
  role: roleSchema,
  accountId: accountIdSchema,
  createdAt: timeSchema,
  expiresAt: timeSchema.optional(),
});
export type ApiKey = z.infer<typeof apiKeySchema>;
/** A hundred years: the moment of the end is still one that everybody can write. */
const MAX_KEY_SECONDS = 100 * 365 * 86_400;
export const createApiKeySchema = z.object({
  name: nameSchema,
  role: roleSchema,
  accountId: accountIdSchema,
  validSeconds: z.number().int().min(1).max(MAX_KEY_SECONDS).optional().describe('Absent: until it is deleted'),
});
export type CreateApiKey = z.infer<typeof createApiKeySchema>;
export const createdApiKeySchema = apiKeySchema.extend({ secret: z.string().describe('Shown once') });
export type CreatedApiKey = z.infer<typeof createdApiKeySchema>;

export const settingSchema = z.object({
  name: z.string(),
  value: z.string(),
  defaultValue: z.string(),
  unit: z.string(),
  description: z.string(),
  scope: z.string().describe('Where the value comes from: default, global, zone'),
});
export type Setting = z.infer<typeof settingSchema>;
export const updateSettingSchema = z.object({ value: textSchema(255).nullable().describe('null: back to what it inherits') });
export type UpdateSetting = z.infer<typeof updateSettingSchema>;
