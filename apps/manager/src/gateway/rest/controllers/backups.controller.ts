/** /backups: what there is, restoring it, changing it, deleting it. */
import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  backupSchema,
  deleteBackupSchema,
  deleteBackupsSchema,
  deletionSchema,
  listBackupsSchema,
  restoreBackupSchema,
  updateBackupSchema,
  type Backup,
  type DeleteBackup,
  type DeleteBackups,
  type Deletion,
  type ListBackups,
  type RestoreBackup,
  type UpdateBackup,
} from '@holdfast/shared/api/backups.js';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Caller } from '../../../access/caller.js';
import { BackupsService } from '../../../backups/backups.service.js';
import { DeletionsService } from '../../../deletions/deletions.service.js';
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
    private readonly deletions: DeletionsService,
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

  @Patch(':id')
  @RequiresPermission('backup.change')
  @Answers(200, 'Rename, describe, protect or unprotect a backup', backupSchema)
  update(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: backupIdSchema }) id: string,
    @Body({ schema: strict(updateBackupSchema) }) input: UpdateBackup,
  ): Promise<Backup> {
    return this.backups.update(caller, id, input);
  }

  @Delete(':id')
  @RequiresPermission('backup.delete')
  @Answers(200, 'Delete a backup; with dryRun only the plan', deletionSchema)
  delete(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: backupIdSchema }) id: string,
    @Query({ schema: strict(deleteBackupSchema) }) input: DeleteBackup,
  ): Promise<Deletion> {
    return this.deletions.deleteOne(caller, id, input);
  }

  @Post('actions/delete')
  @RequiresPermission('backup.delete')
  @TakesIdempotencyKey
  @Answers(200, 'Delete many backups, an operation for each VM; with dryRun only the plans', deletionSchema)
  deleteMany(
    @CurrentCaller() caller: Caller,
    @Body({ schema: strict(deleteBackupsSchema) }) input: DeleteBackups,
  ): Promise<Deletion> {
    return this.deletions.deleteMany(caller, input);
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
