/** Looks at every storage now and then. With several managers each looks only at what nobody has looked at lately. */
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Logger } from '../events/logger.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { Clock } from '../platform/clock.js';
import { PeriodicTask } from '../platform/periodic-task.js';
import { StoragesService } from './storages.service.js';

const LOOK_MS = 15_000;
const OLD_AFTER_MS = 60_000;

@Injectable()
export class StorageRefresher implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly task: PeriodicTask;

  constructor(
    private readonly dataSource: DataSource,
    private readonly storages: StoragesService,
    private readonly clock: Clock,
    logger: Logger,
  ) {
    this.task = new PeriodicTask('refresh storages', LOOK_MS, () => this.refreshOld(), logger);
  }

  onApplicationBootstrap(): void {
    this.task.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.task.stop();
  }

  /** Refreshes those whose facts are old. */
  async refreshOld(): Promise<void> {
    const before = new Date(this.clock.now().getTime() - OLD_AFTER_MS);
    const old = await this.dataSource.manager
      .createQueryBuilder(StorageEntity, 's')
      .where('s.checked_at IS NULL OR s.checked_at < :before', { before })
      .getMany();
    for (const row of old) await this.storages.refresh(row);
  }
}
