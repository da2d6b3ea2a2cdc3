/** Settings, accounts and API keys over gRPC. */
import { createAccountSchema, createApiKeySchema, updateSettingSchema } from '@holdfast/shared/api/access.js';
import { parseInput } from '../../errors/invalid-input.js';
import { fromWire, ROLES } from '../enums.js';
import { accountMessage, apiKeyMessage } from '../messages.js';
import { idOf, pageOf, type Methods } from '../method.js';
import type { ManagerServices } from '../manager-services.js';

function zoneOf(zoneId: string | undefined): string | undefined {
  return zoneId === undefined ? undefined : idOf('zone_id', zoneId);
}

export function settingMethods({ settings }: ManagerServices): Methods<'listSettings' | 'getSetting' | 'updateSetting'> {
  return {
    listSettings: {
      permission: 'setting.read',
      answer: async (caller, request) => ({ settings: await settings.list(caller, zoneOf(request.zoneId)) }),
    },
    getSetting: {
      permission: 'setting.read',
      answer: async (caller, request) => ({ setting: await settings.get(caller, request.name, zoneOf(request.zoneId)) }),
    },
    updateSetting: {
      permission: 'setting.change',
      answer: async (caller, request) => {
        const input = parseInput(updateSettingSchema, { value: request.value ?? null });
        return { setting: await settings.update(caller, request.name, input, zoneOf(request.zoneId)) };
      },
    },
  };
}

type AccessMethod = 'createAccount' | 'listAccounts' | 'deleteAccount' | 'createApiKey' | 'listApiKeys' | 'deleteApiKey';

export function accessMethods({ accounts }: ManagerServices): Methods<AccessMethod> {
  return {
    createAccount: {
      permission: 'account.change',
      answer: async (caller, { name }) => ({
        account: accountMessage(await accounts.createAccount(caller, parseInput(createAccountSchema, { name }))),
      }),
    },
    listAccounts: {
      permission: 'account.read',
      answer: async (caller, request) => {
        const page = await accounts.listAccounts(caller, pageOf(request.page));
        return { accounts: page.items.map(accountMessage), next: page.next ?? '' };
      },
    },
    deleteAccount: {
      permission: 'account.change',
      answer: async (caller, request) => {
        await accounts.deleteAccount(caller, idOf('account_id', request.accountId));
        return {};
      },
    },
    createApiKey: {
      permission: 'api-key.change',
      answer: async (caller, { name, role, accountId, validSeconds }) => {
        const input = parseInput(createApiKeySchema, { name, role: fromWire(ROLES, role, 'role'), accountId, validSeconds });
        const { secret, ...key } = await accounts.createApiKey(caller, input);
        return { apiKey: apiKeyMessage(key), secret };
      },
    },
    listApiKeys: {
      permission: 'api-key.read',
      answer: async (caller, request) => {
        const page = await accounts.listApiKeys(caller, pageOf(request.page));
        return { apiKeys: page.items.map(apiKeyMessage), next: page.next ?? '' };
      },
    },
    deleteApiKey: {
      permission: 'api-key.change',
      answer: async (caller, request) => {
        await accounts.deleteApiKey(caller, idOf('api_key_id', request.apiKeyId));
        return {};
      },
    },
  };
}
