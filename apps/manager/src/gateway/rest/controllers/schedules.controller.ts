/** /backup-schedules, and those of a VM: when backups are made by themselves, and how many stay. */
import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import {
  appliedRetentionSchema,
  applyRetentionSchema,
  createScheduleSchema,
  listSchedulesSchema,
  previewScheduleSchema,
  schedulePreviewSchema,
  scheduleSchema,
  updateScheduleSchema,
  type AppliedRetention,
  type ApplyRetention,
  type CreateSchedule,
  type ListSchedules,
  type PreviewSchedule,
  type Schedule,
  type SchedulePreview,
  type UpdateSchedule,
} from '@holdfast/shared/api/schedules.js';
import type { Caller } from '../../../access/caller.js';
import { SchedulesService } from '../../../schedules/schedules.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersNothing, AnswersOperation, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { scheduleIdSchema, vmIdSchema } from './ids.js';

@ApiTags('backup schedules')
@Controller('vms')
export class VmSchedulesController {
  constructor(private readonly schedules: SchedulesService) {}

  @Post(':id/backup-schedules')
  @RequiresPermission('schedule.change')
  @TakesIdempotencyKey
  @Answers(201, 'Create a backup schedule of a VM', scheduleSchema)
  create(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(createScheduleSchema) }) input: CreateSchedule,
  ): Promise<Schedule> {
    return this.schedules.create(caller, id, input);
  }

  @Post(':id/backup-schedules/preview')
  @RequiresPermission('schedule.read')
  @TakesIdempotencyKey
  @Answers(200, 'Show the next runs of a schedule, and what its retention would do now; changes nothing', schedulePreviewSchema)
  preview(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(previewScheduleSchema) }) input: PreviewSchedule,
  ): Promise<SchedulePreview> {
    return this.schedules.preview(caller, id, input);
  }
}

@ApiTags('backup schedules')
@Controller('backup-schedules')
export class SchedulesController {
  constructor(private readonly schedules: SchedulesService) {}

  @Get()
  @RequiresPermission('schedule.read')
  @Answers(200, 'List backup schedules', pageSchema(scheduleSchema))
  list(
    @CurrentCaller() caller: Caller,
    @Query({ schema: strict(listSchedulesSchema) }) query: ListSchedules,
  ): Promise<Page<Schedule>> {
    return this.schedules.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('schedule.read')
  @Answers(200, 'Show a backup schedule', scheduleSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: scheduleIdSchema }) id: string): Promise<Schedule> {
    return this.schedules.get(caller, id);
  }

  @Patch(':id')
  @RequiresPermission('schedule.change')
  @Answers(200, 'Change a backup schedule; what is left out stays', scheduleSchema)
  update(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: scheduleIdSchema }) id: string,
    @Body({ schema: strict(updateScheduleSchema) }) input: UpdateSchedule,
  ): Promise<Schedule> {
    return this.schedules.update(caller, id, input);
  }

  @Delete(':id')
  @RequiresPermission('schedule.change')
  @AnswersNothing('Delete a backup schedule; its backups stay')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: scheduleIdSchema }) id: string): Promise<void> {
    return this.schedules.delete(caller, id);
  }

  @Post(':id/actions/run')
  @RequiresPermission('backup.create')
  @TakesIdempotencyKey
  @AnswersOperation('Make a backup as the schedule makes them, now')
  run(@CurrentCaller() caller: Caller, @Param('id', { schema: scheduleIdSchema }) id: string): Promise<Operation> {
    return this.schedules.run(caller, id);
  }

  @Post(':id/actions/apply-retention')
  @RequiresPermission('backup.delete')
  @TakesIdempotencyKey
  @Answers(200, 'Delete what no rule of the schedule keeps, as happens after each of its backups', appliedRetentionSchema)
  applyRetention(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: scheduleIdSchema }) id: string,
    @Body({ schema: strict(applyRetentionSchema) }) input: ApplyRetention,
  ): Promise<AppliedRetention> {
    return this.schedules.applyRetention(caller, id, input);
  }
}
