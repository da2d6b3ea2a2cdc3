/** Wires the queue of operations. Handlers register themselves from their own modules. */
import { Global, Module } from '@nestjs/common';
import { MANAGER_CONFIG, type ManagerConfig } from '../config/manager-config.js';
import { InventoryModule } from '../inventory/inventory.module.js';
import { SettingsModule } from '../settings/settings.module.js';
import { OperationBus } from './operation-bus.js';
import { OperationEnds } from './operation-ends.js';
import { OperationFollower } from './operation-follower.js';
import { OperationHandlers } from './operation-handlers.js';
import { LEASE_OPTIONS, OperationQueue } from './operation-queue.js';
import { OperationRunner } from './operation-runner.js';
import { OperationSweep } from './operation-sweep.js';
import { OperationWatch } from './operation-watch.js';
import { OperationsService } from './operations.service.js';

@Global()
@Module({
  imports: [SettingsModule, InventoryModule],
  providers: [
    {
      provide: LEASE_OPTIONS,
      inject: [MANAGER_CONFIG],
      useFactory: (config: ManagerConfig) => ({ leaseMs: config.leaseSeconds * 1000 }),
    },
    OperationQueue,
    OperationBus,
    OperationHandlers,
    OperationEnds,
    OperationWatch,
    OperationFollower,
    OperationRunner,
    OperationSweep,
    OperationsService,
  ],
  exports: [OperationsService, OperationQueue, OperationHandlers],
})
export class OperationsModule {}
