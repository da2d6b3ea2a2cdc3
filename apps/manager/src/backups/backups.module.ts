/** Wires backups. */
import { Module } from '@nestjs/common';
import { InventoryModule } from '../inventory/inventory.module.js';
import { SettingsModule } from '../settings/settings.module.js';
import { StorageModule } from '../storage/storage.module.js';
import { BackupsService } from './backups.service.js';
import { TakeBackupHandler } from './take-backup.handler.js';

@Module({
  imports: [InventoryModule, SettingsModule, StorageModule],
  providers: [BackupsService, TakeBackupHandler],
  exports: [BackupsService],
})
export class BackupsModule {}
