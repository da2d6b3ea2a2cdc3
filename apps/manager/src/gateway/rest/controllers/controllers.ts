/** Every controller of the REST door. */
import { AccountsController, ApiKeysController } from './accounts.controller.js';
import { BackupsController } from './backups.controller.js';
import { CompactionsController } from './compactions.controller.js';
import { HealthController } from './health.controller.js';
import { HostJoinsController, HostsController } from './hosts.controller.js';
import { OfferingsController } from './offerings.controller.js';
import { OperationsController } from './operations.controller.js';
import { SchedulesController, VmSchedulesController } from './schedules.controller.js';
import { SettingsController } from './settings.controller.js';
import { StoragesController } from './storages.controller.js';
import { UsageController } from './usage.controller.js';
import { SnapshotsOfVmController, VmSnapshotsController } from './vm-snapshots.controller.js';
import { VmsController } from './vms.controller.js';
import { ZonesController } from './zones.controller.js';

export const CONTROLLERS = [
  ZonesController,
  HostsController,
  HostJoinsController,
  StoragesController,
  OfferingsController,
  VmsController,
  BackupsController,
  CompactionsController,
  VmSchedulesController,
  SchedulesController,
  UsageController,
  SnapshotsOfVmController,
  VmSnapshotsController,
  OperationsController,
  SettingsController,
  AccountsController,
  ApiKeysController,
  HealthController,
];
