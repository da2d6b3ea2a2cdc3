/** /settings: the global values. */
import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { settingSchema, updateSettingSchema, type Setting, type UpdateSetting } from '@holdfast/shared/api/access.js';
import type { Caller } from '../../../access/caller.js';
import { SettingsService } from '../../../settings/settings.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, itemsSchema } from '../answers.js';
import { strict } from '../strict.js';
import { settingNameSchema } from './ids.js';

@ApiTags('settings')
@Controller('settings')
export class SettingsController {
  constructor(private readonly settings: SettingsService) {}

  @Get()
  @RequiresPermission('setting.read')
  @Answers(200, 'List global settings', itemsSchema(settingSchema))
  async list(@CurrentCaller() caller: Caller): Promise<{ items: Setting[] }> {
    return { items: await this.settings.list(caller) };
  }

  @Get(':name')
  @RequiresPermission('setting.read')
  @Answers(200, 'Show a global setting', settingSchema)
  get(@CurrentCaller() caller: Caller, @Param('name', { schema: settingNameSchema }) name: string): Promise<Setting> {
    return this.settings.get(caller, name);
  }

  @Put(':name')
  @RequiresPermission('setting.change')
  @Answers(200, 'Change a global setting, or let it have its default again', settingSchema)
  update(
    @CurrentCaller() caller: Caller,
    @Param('name', { schema: settingNameSchema }) name: string,
    @Body({ schema: strict(updateSettingSchema) }) input: UpdateSetting,
  ): Promise<Setting> {
    return this.settings.update(caller, name, input);
  }
}
