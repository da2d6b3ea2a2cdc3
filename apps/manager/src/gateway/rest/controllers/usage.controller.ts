/** /usage: what backups take on storages. */
import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { usageQuerySchema, usageSchema, type Usage, type UsageQuery } from '@holdfast/shared/api/backups.js';
import type { Caller } from '../../../access/caller.js';
import { UsageService } from '../../../deletions/usage.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, itemsSchema } from '../answers.js';
import { strict } from '../strict.js';

@ApiTags('backups')
@Controller('usage')
export class UsageController {
  constructor(private readonly usage: UsageService) {}

  @Get()
  @RequiresPermission('usage.read')
  @Answers(200, 'Real bytes of backups on storages by account, until their files are gone', itemsSchema(usageSchema))
  async list(
    @CurrentCaller() caller: Caller,
    @Query({ schema: strict(usageQuerySchema) }) query: UsageQuery,
  ): Promise<{ items: Usage[] }> {
    return { items: await this.usage.list(caller, query) };
  }
}
