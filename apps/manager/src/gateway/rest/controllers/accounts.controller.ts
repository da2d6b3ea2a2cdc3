/** /accounts and /api-keys */
import { Body, Controller, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  accountSchema,
  apiKeySchema,
  createAccountSchema,
  createApiKeySchema,
  createdApiKeySchema,
  type Account,
  type ApiKey,
  type CreateAccount,
  type CreateApiKey,
  type CreatedApiKey,
} from '@holdfast/shared/api/access.js';
import { pageQuerySchema, pageSchema, type Page, type PageQuery } from '@holdfast/shared/api/common.js';
import type { Caller } from '../../../access/caller.js';
import { AccountsService } from '../../../accounts/accounts.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersNothing, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { accountIdSchema, apiKeyIdSchema } from './ids.js';

@ApiTags('accounts')
@Controller('accounts')
export class AccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Post()
  @RequiresPermission('account.change')
  @TakesIdempotencyKey
  @Answers(201, 'Create an account', accountSchema)
  create(@CurrentCaller() caller: Caller, @Body({ schema: strict(createAccountSchema) }) input: CreateAccount): Promise<Account> {
    return this.accounts.createAccount(caller, input);
  }

  @Get()
  @RequiresPermission('account.read')
  @Answers(200, 'List accounts', pageSchema(accountSchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(pageQuerySchema) }) query: PageQuery): Promise<Page<Account>> {
    return this.accounts.listAccounts(caller, query);
  }

  @Delete(':id')
  @RequiresPermission('account.change')
  @AnswersNothing('Delete an account that has no keys and no VMs')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: accountIdSchema }) id: string): Promise<void> {
    return this.accounts.deleteAccount(caller, id);
  }
}

@ApiTags('API keys')
@Controller('api-keys')
export class ApiKeysController {
  constructor(private readonly accounts: AccountsService) {}

  @Post()
  @RequiresPermission('api-key.change')
  @TakesIdempotencyKey
  @Answers(201, 'Create an API key; its secret is in this answer only', createdApiKeySchema)
  create(
    @CurrentCaller() caller: Caller,
    @Body({ schema: strict(createApiKeySchema) }) input: CreateApiKey,
  ): Promise<CreatedApiKey> {
    return this.accounts.createApiKey(caller, input);
  }

  @Get()
  @RequiresPermission('api-key.read')
  @Answers(200, 'List API keys', pageSchema(apiKeySchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(pageQuerySchema) }) query: PageQuery): Promise<Page<ApiKey>> {
    return this.accounts.listApiKeys(caller, query);
  }

  @Delete(':id')
  @RequiresPermission('api-key.change')
  @AnswersNothing('Delete an API key: it stops working at once')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: apiKeyIdSchema }) id: string): Promise<void> {
    return this.accounts.deleteApiKey(caller, id);
  }
}
