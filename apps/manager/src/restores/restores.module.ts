/** Wires restores. */
import { Module } from '@nestjs/common';
import { InventoryModule } from '../inventory/inventory.module.js';
import { ReleaseFilesHandler } from './release-files.handler.js';
import { RestoreBackupHandler } from './restore-backup.handler.js';
import { RestoresService } from './restores.service.js';

@Module({
  imports: [InventoryModule],
  providers: [RestoresService, RestoreBackupHandler, ReleaseFilesHandler],
  exports: [RestoresService],
})
export class RestoresModule {}
