/** Looks at every storage now and then. With several managers each looks only at what nobody has looked at lately. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Logger } from '../events/logger.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import { StoragesService } from './storages.service.js';

const LOOK_MS = 15_000;
const OLD_AFTER_MS = 60_000;

@Injectable()
export class StorageRefresher extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly storages: StoragesService,
    private readonly clock: Clock,
    logger: Logger,
  ) {
    super('refresh storages', LOOK_MS, logger);
  }

  /** Refreshes those whose facts are old. */
  async round(): Promise<void> {
    const before = new Date(this.clock.now().getTime() - OLD_AFTER_MS);
    const old = await this.dataSource.manager
      .createQueryBuilder(StorageEntity, 's')
      .where('s.checked_at IS NULL OR s.checked_at < :before', { before })
      .getMany();
    for (const row of old) await this.storages.refresh(row);
  }
}
