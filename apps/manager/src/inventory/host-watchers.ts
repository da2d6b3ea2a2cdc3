/**
 * Gives every host one watcher among all managers, by a lease on the host's row. Owns which hosts this process watches; how
 * one host is watched is the watcher's.
 */
import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { AgentsService } from '../agents/agents.service.js';
import { MANAGER_CONFIG, type ManagerConfig } from '../config/manager-config.js';
import { Logger } from '../events/logger.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import { HostWatcher } from './host-watcher.js';
import { ObservationRecorder } from './observation-recorder.js';
import { StartGuards } from './start-guards.js';
import { VmLocator } from './vm-locator.js';

const ROUND_MS = 1000;

@Injectable()
export class HostWatchers extends PeriodicService {
  private readonly me: string;
  private readonly watchers = new Map<string, HostWatcher>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly recorder: ObservationRecorder,
    private readonly locator: VmLocator,
    private readonly guards: StartGuards,
    private readonly clock: Clock,
    private readonly logger: Logger,
    @Inject(MANAGER_CONFIG) private readonly config: ManagerConfig,
  ) {
    super('watch hosts', ROUND_MS, logger);
    this.me = clock.newId();
  }

  override async onApplicationShutdown(): Promise<void> {
    await super.onApplicationShutdown();
    await Promise.all([...this.watchers.values()].map((watcher) => watcher.stop()));
    this.watchers.clear();
    await this.dataSource.manager.update(HostEntity, { watcher: this.me }, { watcher: null, watcherUntil: null });
  }

  /** Takes free hosts, keeps its own, lets go of those that were lost or deleted. */
  async round(): Promise<void> {
    const now = this.clock.now();
    const until = new Date(now.getTime() + this.config.leaseSeconds * 1000);
    const [rows] = await this.dataSource.query<[{ id: string }[], number]>(
      'UPDATE host SET watcher = $1, watcher_until = $2 WHERE watcher = $1 OR watcher IS NULL OR watcher_until < $3 RETURNING id',
      [this.me, until, now],
    );
    const mine = new Set(rows.map((row) => row.id));
    for (const [hostId, watcher] of this.watchers) {
      if (mine.has(hostId)) continue;
      this.watchers.delete(hostId);
      await watcher.stop();
    }
    for (const hostId of mine) {
      if (this.watchers.has(hostId)) continue;
      const watcher = new HostWatcher(
        hostId,
        this.dataSource,
        this.agents,
        this.recorder,
        this.locator,
        this.guards,
        this.clock,
        this.logger,
        {
          heartbeatMs: this.config.heartbeatSeconds * 1000,
          reconcileMs: this.config.reconcileSeconds * 1000,
        },
      );
      this.watchers.set(hostId, watcher);
      watcher.start();
    }
  }
}
