/** Wires zones, hosts and what is seen on them. */
import { Module } from '@nestjs/common';
import { HostWatchers } from './host-watchers.js';
import { HostsService } from './hosts.service.js';
import { JoinService } from './join.service.js';
import { ObservationRecorder } from './observation-recorder.js';
import { StartGuards } from './start-guards.js';
import { VmLocator } from './vm-locator.js';
import { VmRefresher } from './vm-refresher.js';
import { ZonesService } from './zones.service.js';

@Module({
  providers: [ZonesService, HostsService, JoinService, ObservationRecorder, StartGuards, VmLocator, VmRefresher, HostWatchers],
  exports: [ZonesService, HostsService, JoinService, VmRefresher, ObservationRecorder, StartGuards],
})
export class InventoryModule {}
