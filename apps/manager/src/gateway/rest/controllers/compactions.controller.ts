/** /backups/{id}/actions/compact: giving back the space of a deleted backup. */
import { Controller, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Caller } from '../../../access/caller.js';
import { CompactionsService } from '../../../compaction/compactions.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { AnswersOperation, TakesIdempotencyKey } from '../answers.js';
import { backupIdSchema } from './ids.js';

@ApiTags('backups')
@Controller('backups')
export class CompactionsController {
  constructor(private readonly compactions: CompactionsService) {}

  @Post(':id/actions/compact')
  @RequiresPermission('backup.compact')
  @TakesIdempotencyKey
  @AnswersOperation('Merge the deleted oldest backup of the chain into this one, its only child')
  compact(@CurrentCaller() caller: Caller, @Param('id', { schema: backupIdSchema }) id: string): Promise<Operation> {
    return this.compactions.compact(caller, id);
  }
}
