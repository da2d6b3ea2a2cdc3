/** Wires secondary storages. */
import { Module } from '@nestjs/common';
import { DeletionsModule } from '../deletions/deletions.module.js';
import { StorageCheckService } from './check/storage-check.service.js';
import { StorageJudge } from './check/storage-judge.js';
import { StorageScanService } from './scan/storage-scan.service.js';
import { StorageRefresher } from './storage-refresher.js';
import { StoragesService } from './storages.service.js';

@Module({
  imports: [DeletionsModule],
  providers: [StoragesService, StorageRefresher, StorageJudge, StorageCheckService, StorageScanService],
  exports: [StoragesService, StorageCheckService, StorageScanService],
})
export class StorageModule {}
