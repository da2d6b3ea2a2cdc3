/** Wires backup schedules. */
import { Module } from '@nestjs/common';
import { BackupsModule } from '../backups/backups.module.js';
import { DeletionsModule } from '../deletions/deletions.module.js';
import { RetentionRunner } from './retention-runner.js';
import { RetentionService } from './retention.service.js';
import { ScheduleRunner } from './schedule-runner.js';
import { SchedulesService } from './schedules.service.js';

@Module({
  imports: [BackupsModule, DeletionsModule],
  providers: [SchedulesService, RetentionService, ScheduleRunner, RetentionRunner],
  exports: [SchedulesService],
})
export class SchedulesModule {}
