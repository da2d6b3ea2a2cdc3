/** Backup schedules over gRPC. */
import {
  applyRetentionSchema,
  createScheduleSchema,
  listSchedulesSchema,
  previewScheduleSchema,
  updateScheduleSchema,
} from '@holdfast/shared/api/schedules.js';
import { parseInput } from '../../errors/invalid-input.js';
import { fromWire, QUIESCE } from '../enums.js';
import { operationMessage, retentionVerdictMessage, scheduleMessage } from '../messages.js';
import { idOf, pageOf, type Methods } from '../method.js';
import type { ManagerServices } from '../manager-services.js';

type ScheduleMethod =
  | 'createBackupSchedule'
  | 'listBackupSchedules'
  | 'getBackupSchedule'
  | 'updateBackupSchedule'
  | 'deleteBackupSchedule'
  | 'previewBackupSchedule'
  | 'runBackupSchedule'
  | 'applyBackupScheduleRetention';

export function scheduleMethods({ schedules }: ManagerServices): Methods<ScheduleMethod> {
  return {
    createBackupSchedule: {
      permission: 'schedule.change',
      answer: async (caller, { vmId, ...request }) => {
        const input = parseInput(createScheduleSchema, {
          ...request,
          timeZone: request.timeZone || undefined,
          quiesce: fromWire(QUIESCE, request.quiesce, 'quiesce'),
        });
        return { schedule: scheduleMessage(await schedules.create(caller, idOf('vm_id', vmId), input)) };
      },
    },
    listBackupSchedules: {
      permission: 'schedule.read',
      answer: async (caller, { page, vmId }) => {
        const found = await schedules.list(caller, parseInput(listSchedulesSchema, { ...pageOf(page), vmId }));
        return { schedules: found.items.map(scheduleMessage), next: found.next ?? '' };
      },
    },
    getBackupSchedule: {
      permission: 'schedule.read',
      answer: async (caller, { scheduleId }) => ({
        schedule: scheduleMessage(await schedules.get(caller, idOf('schedule_id', scheduleId))),
      }),
    },
    updateBackupSchedule: {
      permission: 'schedule.change',
      answer: async (caller, { scheduleId, keepEverything, ...request }) => {
        const input = parseInput(updateScheduleSchema, {
          ...request,
          quiesce: fromWire(QUIESCE, request.quiesce, 'quiesce'),
          retention: keepEverything ? null : request.retention,
        });
        return { schedule: scheduleMessage(await schedules.update(caller, idOf('schedule_id', scheduleId), input)) };
      },
    },
    deleteBackupSchedule: {
      permission: 'schedule.change',
      answer: async (caller, { scheduleId }) => {
        await schedules.delete(caller, idOf('schedule_id', scheduleId));
        return {};
      },
    },
    previewBackupSchedule: {
      permission: 'schedule.read',
      answer: async (caller, { vmId, ...request }) => {
        const input = parseInput(previewScheduleSchema, { ...request, timeZone: request.timeZone || undefined });
        const { cron, runs, retention } = await schedules.preview(caller, idOf('vm_id', vmId), input);
        return {
          cron,
          runs: runs.map(({ at, local }) => ({ at: new Date(at), local })),
          retention: retention.map(retentionVerdictMessage),
        };
      },
    },
    runBackupSchedule: {
      permission: 'backup.create',
      answer: async (caller, { scheduleId }) => ({
        operation: operationMessage(await schedules.run(caller, idOf('schedule_id', scheduleId))),
      }),
    },
    applyBackupScheduleRetention: {
      permission: 'backup.delete',
      answer: async (caller, { scheduleId, dryRun }) => {
        const input = parseInput(applyRetentionSchema, { dryRun });
        const { retention, operation } = await schedules.applyRetention(caller, idOf('schedule_id', scheduleId), input);
        return {
          retention: retention.map(retentionVerdictMessage),
          operation: operation === undefined ? undefined : operationMessage(operation),
        };
      },
    },
  };
}
