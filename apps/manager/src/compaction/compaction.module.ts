/** Wires compaction. */
import { Module } from '@nestjs/common';
import { DeletionsModule } from '../deletions/deletions.module.js';
import { InventoryModule } from '../inventory/inventory.module.js';
import { SettingsModule } from '../settings/settings.module.js';
import { CompactChainHandler } from './compact-chain.handler.js';
import { CompactionRequests } from './compaction-requests.js';
import { CompactionsService } from './compactions.service.js';

@Module({
  imports: [DeletionsModule, InventoryModule, SettingsModule],
  providers: [CompactionsService, CompactChainHandler, CompactionRequests],
  exports: [CompactionsService],
})
export class CompactionModule {}
