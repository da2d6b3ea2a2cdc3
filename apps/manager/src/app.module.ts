/** The whole manager: every module once, and the two doors over their services. */
import { Module, type DynamicModule } from '@nestjs/common';
import { AccountsModule } from './accounts/accounts.module.js';
import { AgentsModule } from './agents/agents.module.js';
import { BackupsModule } from './backups/backups.module.js';
import { CertificatesModule } from './certificates/certificates.module.js';
import { CompactionModule } from './compaction/compaction.module.js';
import { ConfigModule } from './config/config.module.js';
import type { ManagerConfig } from './config/manager-config.js';
import { DeletionsModule } from './deletions/deletions.module.js';
import { EventsModule } from './events/events.module.js';
import { GatewayModule } from './gateway/gateway.module.js';
import { InventoryModule } from './inventory/inventory.module.js';
import { OfferingsModule } from './offerings/offerings.module.js';
import { OperationsModule } from './operations/operations.module.js';
import type { OpenDatabase } from './persistence/database/database.js';
import { PersistenceModule } from './persistence/persistence.module.js';
import { PlatformModule } from './platform/platform.module.js';
import { RestoresModule } from './restores/restores.module.js';
import { SchedulesModule } from './schedules/schedules.module.js';
import { SettingsModule } from './settings/settings.module.js';
import { StorageModule } from './storage/storage.module.js';
import { VmSnapshotsModule } from './vm-snapshots/vm-snapshots.module.js';
import { VmsModule } from './vms/vms.module.js';

const SERVICES = [
  AccountsModule,
  BackupsModule,
  DeletionsModule,
  CompactionModule,
  InventoryModule,
  OfferingsModule,
  OperationsModule,
  RestoresModule,
  SchedulesModule,
  SettingsModule,
  StorageModule,
  VmSnapshotsModule,
  VmsModule,
];

@Module({})
export class AppModule {
  /** `doors`: false leaves REST and gRPC out, for tests of the services. */
  static of(config: ManagerConfig, database: OpenDatabase, { doors = true } = {}): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.of(config),
        PersistenceModule.of(database),
        PlatformModule,
        EventsModule,
        CertificatesModule,
        AgentsModule,
        ...SERVICES,
        ...(doors ? [GatewayModule.of(SERVICES)] : []),
      ],
    };
  }
}
