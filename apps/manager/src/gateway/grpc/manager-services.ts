/** The services behind the gRPC methods, as one thing to hand over. */
import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { BackupsService } from '../../backups/backups.service.js';
import { DeletionsService } from '../../deletions/deletions.service.js';
import { UsageService } from '../../deletions/usage.service.js';
import { CompactionsService } from '../../compaction/compactions.service.js';
import { HostsService } from '../../inventory/hosts.service.js';
import { JoinService } from '../../inventory/join.service.js';
import { ZonesService } from '../../inventory/zones.service.js';
import { OfferingsService } from '../../offerings/offerings.service.js';
import { OperationsService } from '../../operations/operations.service.js';
import { RestoresService } from '../../restores/restores.service.js';
import { SchedulesService } from '../../schedules/schedules.service.js';
import { SettingsService } from '../../settings/settings.service.js';
import { StorageCheckService } from '../../storage/check/storage-check.service.js';
import { StorageScanService } from '../../storage/scan/storage-scan.service.js';
import { StoragesService } from '../../storage/storages.service.js';
import { VmSnapshotsService } from '../../vm-snapshots/vm-snapshots.service.js';
import { VmsService } from '../../vms/vms.service.js';

@Injectable()
export class ManagerServices {
  constructor(
    readonly zones: ZonesService,
    readonly hosts: HostsService,
    readonly joins: JoinService,
    readonly vms: VmsService,
    readonly storages: StoragesService,
    readonly storageChecks: StorageCheckService,
    readonly storageScans: StorageScanService,
    readonly offerings: OfferingsService,
    readonly backups: BackupsService,
    readonly restores: RestoresService,
    readonly schedules: SchedulesService,
    readonly deletions: DeletionsService,
    readonly usage: UsageService,
    readonly compactions: CompactionsService,
    readonly operations: OperationsService,
    readonly settings: SettingsService,
    readonly accounts: AccountsService,
    readonly snapshots: VmSnapshotsService,
  ) {}
}
