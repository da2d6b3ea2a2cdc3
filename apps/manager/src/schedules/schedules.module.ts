/** Wires backup schedules. */
import { Module } from '@nestjs/common';
import { BackupsModule } from '../backups/backups.module.js';
import { ScheduleRunner } from './schedule-runner.js';
import { SchedulesService } from './schedules.service.js';

@Module({
  imports: [BackupsModule],
  providers: [SchedulesService, ScheduleRunner],
  exports: [SchedulesService],
})
export class SchedulesModule {}
