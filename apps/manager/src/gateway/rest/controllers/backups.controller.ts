/** /backups: what there is, and restoring it. */
import { Body, Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  backupSchema,
  listBackupsSchema,
  restoreBackupSchema,
  type Backup,
  type ListBackups,
  type RestoreBackup,
} from '@holdfast/shared/api/backups.js';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Caller } from '../../../access/caller.js';
import { BackupsService } from '../../../backups/backups.service.js';
import { RestoresService } from '../../../restores/restores.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersOperation, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { backupIdSchema } from './ids.js';

@ApiTags('backups')
@Controller('backups')
export class BackupsController {
  constructor(
    private readonly backups: BackupsService,
    private readonly restores: RestoresService,
  ) {}

  @Get()
  @RequiresPermission('backup.read')
  @Answers(200, 'List backups', pageSchema(backupSchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(listBackupsSchema) }) query: ListBackups): Promise<Page<Backup>> {
    return this.backups.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('backup.read')
  @Answers(200, 'Show a backup', backupSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: backupIdSchema }) id: string): Promise<Backup> {
    return this.backups.get(caller, id);
  }

  @Post(':id/actions/restore')
  @RequiresPermission('backup.restore')
  @TakesIdempotencyKey
  @AnswersOperation('Restore a stopped VM, or one that is gone, to this backup')
  restore(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: backupIdSchema }) id: string,
    @Body({ schema: strict(restoreBackupSchema) }) input: RestoreBackup,
  ): Promise<Operation> {
    return this.restores.restore(caller, id, input);
  }
}
