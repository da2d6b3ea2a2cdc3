/** Wires VM snapshots. */
import { Module } from '@nestjs/common';
import { InventoryModule } from '../inventory/inventory.module.js';
import { SettingsModule } from '../settings/settings.module.js';
import { DeleteSnapshotsHandler } from './delete-snapshots.handler.js';
import { RevertSnapshotHandler } from './revert-snapshot.handler.js';
import { TakeSnapshotHandler } from './take-snapshot.handler.js';
import { VmSnapshotsService } from './vm-snapshots.service.js';

@Module({
  imports: [InventoryModule, SettingsModule],
  providers: [VmSnapshotsService, TakeSnapshotHandler, RevertSnapshotHandler, DeleteSnapshotsHandler],
  exports: [VmSnapshotsService],
})
export class VmSnapshotsModule {}
