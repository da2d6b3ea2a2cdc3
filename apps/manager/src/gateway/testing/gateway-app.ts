/**
 * The two doors over the real services and a real database, without what works in the background: no host is watched and
 * no operation is run, so a test decides what the rows say.
 */
import 'reflect-metadata';
import { Module, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { AccountsModule } from '../../accounts/accounts.module.js';
import { AgentsModule } from '../../agents/agents.module.js';
import { BackupsService } from '../../backups/backups.service.js';
import { CertificatesModule } from '../../certificates/certificates.module.js';
import { CompactionsService } from '../../compaction/compactions.service.js';
import { ConfigModule } from '../../config/config.module.js';
import { managerConfigSchema } from '../../config/manager-config.js';
import { EventsModule } from '../../events/events.module.js';
import { Logger } from '../../events/logger.js';
import { DeletionRecorder } from '../../deletions/deletion-recorder.js';
import { DeletionsService } from '../../deletions/deletions.service.js';
import { UsageService } from '../../deletions/usage.service.js';
import { HostsService } from '../../inventory/hosts.service.js';
import { JoinService } from '../../inventory/join.service.js';
import { ObservationRecorder } from '../../inventory/observation-recorder.js';
import { StartGuards } from '../../inventory/start-guards.js';
import { VmLocator } from '../../inventory/vm-locator.js';
import { VmRefresher } from '../../inventory/vm-refresher.js';
import { ZonesService } from '../../inventory/zones.service.js';
import { OfferingsModule } from '../../offerings/offerings.module.js';
import { OperationBus } from '../../operations/operation-bus.js';
import { LEASE_OPTIONS, OperationQueue } from '../../operations/operation-queue.js';
import { OperationsService } from '../../operations/operations.service.js';
import { PersistenceModule } from '../../persistence/persistence.module.js';
import { PlatformModule } from '../../platform/platform.module.js';
import { RestoresService } from '../../restores/restores.service.js';
import { RetentionService } from '../../schedules/retention.service.js';
import { SchedulesService } from '../../schedules/schedules.service.js';
import { SettingsModule } from '../../settings/settings.module.js';
import { StorageCheckService } from '../../storage/check/storage-check.service.js';
import { StorageJudge } from '../../storage/check/storage-judge.js';
import { StorageScanService } from '../../storage/scan/storage-scan.service.js';
import { StoragesService } from '../../storage/storages.service.js';
import { VmSnapshotsService } from '../../vm-snapshots/vm-snapshots.service.js';
import { VmsService } from '../../vms/vms.service.js';
import { GatewayModule } from '../gateway.module.js';
import type { TestDatabase } from './test-database.js';

const services = [
  ZonesService,
  HostsService,
  JoinService,
  VmsService,
  BackupsService,
  CompactionsService,
  RestoresService,
  DeletionsService,
  UsageService,
  StoragesService,
  StorageCheckService,
  StorageScanService,
  SchedulesService,
  RetentionService,
  OperationsService,
  VmSnapshotsService,
];

@Module({
  imports: [SettingsModule],
  providers: [
    ...services,
    StorageJudge,
    DeletionRecorder,
    VmLocator,
    VmRefresher,
    ObservationRecorder,
    StartGuards,
    OperationQueue,
    OperationBus,
    { provide: LEASE_OPTIONS, useValue: { leaseMs: 30_000 } },
  ],
  exports: services,
})
class ServicesModule {}

/** Not initialised and not listening yet. */
export async function gatewayApp({ database, dataDir }: TestDatabase): Promise<INestApplication> {
  const config = managerConfigSchema.parse({ dataDir, rest: { listen: '127.0.0.1:0' }, grpc: { listen: '127.0.0.1:0' } });
  const testing = await Test.createTestingModule({
    imports: [
      ConfigModule.of(config),
      PersistenceModule.of(database),
      PlatformModule,
      EventsModule,
      CertificatesModule,
      AgentsModule,
      GatewayModule.of([AccountsModule, OfferingsModule, SettingsModule, ServicesModule]),
    ],
  })
    .overrideProvider(Logger)
    .useValue(new Logger('silent'))
    .compile();
  return testing.createNestApplication({ logger: false });
}
