/** Wires secondary storages. */
import { Module } from '@nestjs/common';
import { StorageCheckService } from './check/storage-check.service.js';
import { StorageRefresher } from './storage-refresher.js';
import { StoragesService } from './storages.service.js';

@Module({ providers: [StoragesService, StorageRefresher, StorageCheckService], exports: [StoragesService, StorageCheckService] })
export class StorageModule {}
