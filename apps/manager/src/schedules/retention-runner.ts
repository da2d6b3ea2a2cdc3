/** Applies the retention of every schedule that has just made a backup. Several managers may run it. */
import { Injectable } from '@nestjs/common';
import { DataSource, LessThanOrEqual } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { Logger } from '../events/logger.js';
import { ScheduleEntity } from '../persistence/entities/schedule.entity.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';
import { RetentionService } from './retention.service.js';

const ROUND_MS = 2000;
const RETRY_MS = 60_000;

@Injectable()
export class RetentionRunner extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly retention: RetentionService,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    super('apply retention', ROUND_MS, logger);
  }

  async round(): Promise<void> {
    const manager = this.dataSource.manager;
    const due = await manager.findBy(ScheduleEntity, { retentionDueAt: LessThanOrEqual(this.clock.now()) });
    for (const row of due) {
      try {
        const { operation } = await this.retention.apply(row, row.retentionDueAt ?? undefined);
        if (operation !== undefined)
          this.logger.info('retention asked for a deletion', { scheduleId: row.id, vmId: row.vmId, operationId: operation.id });
      } catch (thrown) {
        const error = HoldfastError.from(thrown);
        const again = new Date(this.clock.now().getTime() + RETRY_MS);
        await manager.update(ScheduleEntity, { id: row.id }, { retentionDueAt: again, lastError: error.toData() });
        this.logger.warn('retention could not be applied', {
          scheduleId: row.id,
          vmId: row.vmId,
          code: error.code,
          reason: error.message,
        });
      }
    }
  }
}
