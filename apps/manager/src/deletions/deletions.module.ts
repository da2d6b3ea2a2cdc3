/** Wires the deletion of backups. */
import { Module } from '@nestjs/common';
import { InventoryModule } from '../inventory/inventory.module.js';
import { DeleteBackupsHandler } from './delete-backups.handler.js';
import { DeletionListeners } from './deletion-listeners.js';
import { BackupHistory } from './backup-history.js';
import { DeletionReconciler } from './deletion-reconciler.js';
import { DeletionRecorder } from './deletion-recorder.js';
import { DeletionsService } from './deletions.service.js';
import { UsageService } from './usage.service.js';

@Module({
  imports: [InventoryModule],
  providers: [
    DeletionsService,
    DeletionListeners,
    DeletionRecorder,
    DeleteBackupsHandler,
    DeletionReconciler,
    BackupHistory,
    UsageService,
  ],
  exports: [DeletionsService, DeletionListeners, DeletionRecorder, UsageService],
})
export class DeletionsModule {}
