/** Wires secondary storages. */
import { Module } from '@nestjs/common';
import { StorageRefresher } from './storage-refresher.js';
import { StoragesService } from './storages.service.js';

@Module({ providers: [StoragesService, StorageRefresher], exports: [StoragesService] })
export class StorageModule {}
