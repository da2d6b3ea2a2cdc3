/**
 * Drops the rows of backups that are gone for long, and of what schedules could not take long ago: nobody would delete those by hand.
 * Owns how long that is; files are gone before.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Logger } from '../events/logger.js';
import { Clock } from '../platform/clock.js';
import { PeriodicService } from '../platform/periodic-service.js';

const ROUND_MS = 3_600_000;
/** How long a backup that is gone can still be looked up: long enough to ask who deleted it, not for ever. */
const HISTORY_MS = 30 * 24 * 3_600_000;

@Injectable()
export class BackupHistory extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    logger: Logger,
  ) {
    super('forget old backups', ROUND_MS, logger);
  }

  async round(): Promise<void> {
    const before = new Date(this.clock.now().getTime() - HISTORY_MS);
    // A failed backup with a delta or a folder left is still somebody's to clean up.
    const old = `SELECT id FROM backup b WHERE (state = 'Expunged' AND expunged_at < $1)
      OR (state = 'Failed' AND schedule_id IS NOT NULL AND finished_at < $1 AND NOT leftovers_on_storage AND NOT protected
        AND NOT EXISTS (SELECT FROM volume_delta d WHERE d.backup_id = b.id))`;
    await this.dataSource.transaction(async (manager) => {
      await manager.query(`DELETE FROM backup_volume WHERE backup_id IN (${old})`, [before]);
      await manager.query(`DELETE FROM backup WHERE id IN (${old})`, [before]);
    });
  }
}
