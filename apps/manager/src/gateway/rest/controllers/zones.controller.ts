/** /zones, with their settings. */
import { Body, Controller, Delete, Get, Param, Post, Put, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { settingSchema, updateSettingSchema, type Setting, type UpdateSetting } from '@holdfast/shared/api/access.js';
import { pageQuerySchema, pageSchema, type Page, type PageQuery } from '@holdfast/shared/api/common.js';
import { createZoneSchema, zoneSchema, type CreateZone, type Zone } from '@holdfast/shared/api/inventory.js';
import type { Caller } from '../../../access/caller.js';
import { ZonesService } from '../../../inventory/zones.service.js';
import { SettingsService } from '../../../settings/settings.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersNothing, itemsSchema, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { settingNameSchema, zoneIdSchema } from './ids.js';

@ApiTags('zones')
@Controller('zones')
export class ZonesController {
  constructor(
    private readonly zones: ZonesService,
    private readonly settings: SettingsService,
  ) {}

  @Post()
  @RequiresPermission('zone.change')
  @TakesIdempotencyKey
  @Answers(201, 'Create a zone', zoneSchema)
  create(@CurrentCaller() caller: Caller, @Body({ schema: strict(createZoneSchema) }) input: CreateZone): Promise<Zone> {
    return this.zones.create(caller, input);
  }

  @Get()
  @RequiresPermission('zone.read')
  @Answers(200, 'List zones', pageSchema(zoneSchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(pageQuerySchema) }) query: PageQuery): Promise<Page<Zone>> {
    return this.zones.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('zone.read')
  @Answers(200, 'Show a zone', zoneSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: zoneIdSchema }) id: string): Promise<Zone> {
    return this.zones.get(caller, id);
  }

  @Delete(':id')
  @RequiresPermission('zone.change')
  @AnswersNothing('Delete an empty zone')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: zoneIdSchema }) id: string): Promise<void> {
    return this.zones.delete(caller, id);
  }

  @Get(':id/settings')
  @RequiresPermission('setting.read')
  @Answers(200, 'List settings as they count in a zone', itemsSchema(settingSchema))
  async listSettings(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: zoneIdSchema }) id: string,
  ): Promise<{ items: Setting[] }> {
    return { items: await this.settings.list(caller, id) };
  }

  @Get(':id/settings/:name')
  @RequiresPermission('setting.read')
  @Answers(200, 'Show a setting as it counts in a zone', settingSchema)
  getSetting(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: zoneIdSchema }) id: string,
    @Param('name', { schema: settingNameSchema }) name: string,
  ): Promise<Setting> {
    return this.settings.get(caller, name, id);
  }

  @Put(':id/settings/:name')
  @RequiresPermission('setting.change')
  @Answers(200, 'Change a setting of a zone, or let it inherit again', settingSchema)
  updateSetting(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: zoneIdSchema }) id: string,
    @Param('name', { schema: settingNameSchema }) name: string,
    @Body({ schema: strict(updateSettingSchema) }) input: UpdateSetting,
  ): Promise<Setting> {
    return this.settings.update(caller, name, input, id);
  }
}
