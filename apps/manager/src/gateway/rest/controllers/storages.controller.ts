/** /secondary-storages */
import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import {
  checkStorageSchema,
  cleanStorageSchema,
  createStorageSchema,
  listStoragesSchema,
  scanStorageSchema,
  storageCheckSchema,
  storageCleaningSchema,
  storageScanSchema,
  storageSchema,
  updateStorageSchema,
  type CleanStorage,
  type CreateStorage,
  type ListStorages,
  type ScanStorage,
  type Storage,
  type StorageCheck,
  type StorageCleaning,
  type StorageScan,
  type UpdateStorage,
} from '@holdfast/shared/api/storage.js';
import type { Caller } from '../../../access/caller.js';
import { StorageCheckService } from '../../../storage/check/storage-check.service.js';
import { StorageScanService } from '../../../storage/scan/storage-scan.service.js';
import { StoragesService } from '../../../storage/storages.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersNothing, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { storageIdSchema } from './ids.js';

@ApiTags('secondary storages')
@Controller('secondary-storages')
export class StoragesController {
  constructor(
    private readonly storages: StoragesService,
    private readonly checks: StorageCheckService,
    private readonly scans: StorageScanService,
  ) {}

  @Post()
  @RequiresPermission('storage.change')
  @TakesIdempotencyKey
  @Answers(201, 'Register a secondary storage', storageSchema)
  create(@CurrentCaller() caller: Caller, @Body({ schema: strict(createStorageSchema) }) input: CreateStorage): Promise<Storage> {
    return this.storages.create(caller, input);
  }

  @Get()
  @RequiresPermission('storage.read')
  @Answers(200, 'List secondary storages', pageSchema(storageSchema))
  list(
    @CurrentCaller() caller: Caller,
    @Query({ schema: strict(listStoragesSchema) }) query: ListStorages,
  ): Promise<Page<Storage>> {
    return this.storages.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('storage.read')
  @Answers(200, 'Show a secondary storage', storageSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: storageIdSchema }) id: string): Promise<Storage> {
    return this.storages.get(caller, id);
  }

  @Patch(':id')
  @RequiresPermission('storage.change')
  @Answers(200, 'Rename a secondary storage, or let it take no new backups', storageSchema)
  update(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: storageIdSchema }) id: string,
    @Body({ schema: strict(updateStorageSchema) }) input: UpdateStorage,
  ): Promise<Storage> {
    return this.storages.update(caller, id, input);
  }

  @Post(':id/actions/check')
  @RequiresPermission('storage.read')
  @TakesIdempotencyKey
  @Answers(
    200,
    'Compare what lies on a secondary storage, and in the primary pools of its zone, with the records; writes nothing',
    storageCheckSchema,
  )
  check(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: storageIdSchema }) id: string,
    @Body({ schema: strict(checkStorageSchema) }) _input: object,
  ): Promise<StorageCheck> {
    return this.checks.check(caller, id);
  }

  @Post(':id/actions/scan')
  @RequiresPermission('storage.change')
  @TakesIdempotencyKey
  @Answers(
    200,
    'Take up whole backups that the database does not know, and set records that a manifest contradicts right; nothing on the storage is written',
    storageScanSchema,
  )
  scan(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: storageIdSchema }) id: string,
    @Body({ schema: strict(scanStorageSchema) }) input: ScanStorage,
  ): Promise<StorageScan> {
    return this.scans.scan(caller, id, input);
  }

  @Post(':id/actions/clean')
  @RequiresPermission('storage.change')
  @TakesIdempotencyKey
  @Answers(200, 'Remove findings of a check, after looking again that nothing needs them', storageCleaningSchema)
  clean(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: storageIdSchema }) id: string,
    @Body({ schema: strict(cleanStorageSchema) }) input: CleanStorage,
  ): Promise<StorageCleaning> {
    return this.checks.clean(caller, id, input);
  }

  @Delete(':id')
  @RequiresPermission('storage.change')
  @AnswersNothing('Forget a secondary storage that holds no backups; nothing on it is touched')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: storageIdSchema }) id: string): Promise<void> {
    return this.storages.delete(caller, id);
  }
}
