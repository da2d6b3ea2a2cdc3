/** Settings with their overrides, global and per zone. Owns what is stored and how a value is inherited. */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Setting, UpdateSetting } from '@holdfast/shared/api/access.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import {
  parseSetting,
  SETTING_NAMES,
  settingName,
  SETTINGS,
  storedSetting,
  type SettingName,
  type SettingValue,
} from '@holdfast/shared/settings/settings.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { SettingOverrideEntity } from '../persistence/entities/access.entities.js';
import { ZoneEntity } from '../persistence/entities/inventory.entities.js';

/** `scopeId` of a global override. */
export const GLOBAL_SCOPE_ID = '00000000-0000-0000-0000-000000000000';

@Injectable()
export class SettingsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly audit: AuditLog,
  ) {}

  /** All settings as they count globally, or in one zone. */
  async list(caller: Caller, zoneId?: string): Promise<Setting[]> {
    requireAdmin(caller, 'read settings');
    await this.requireZone(zoneId);
    const overrides = await this.overrides(zoneId);
    return SETTING_NAMES.map((name) => view(name, overrides));
  }

  async get(caller: Caller, name: string, zoneId?: string): Promise<Setting> {
    requireAdmin(caller, 'read settings');
    await this.requireZone(zoneId);
    return view(settingName(name), await this.overrides(zoneId));
  }

  /** Sets or, with null, removes the override of one scope. */
  async update(caller: Caller, name: string, input: UpdateSetting, zoneId?: string): Promise<Setting> {
    requireAdmin(caller, 'change settings');
    const known = settingName(name);
    await this.requireZone(zoneId);
    const scope = {
      name: known,
      scope: zoneId === undefined ? ('global' as const) : ('zone' as const),
      scopeId: zoneId ?? GLOBAL_SCOPE_ID,
    };
    if (input.value === null) {
      await this.dataSource.manager.delete(SettingOverrideEntity, scope);
    } else {
      const value = String(parseSetting(known, input.value));
      await this.dataSource.manager.upsert(SettingOverrideEntity, { ...scope, value }, ['name', 'scope', 'scopeId']);
    }
    this.audit.changed(caller, 'setting.update', { setting: name, value: input.value ?? 'inherited', zoneId: zoneId ?? '' });
    return this.get(caller, name, zoneId);
  }

  /** The value that counts in a zone. */
  async resolve<N extends SettingName>(
    name: N,
    zoneId: string,
    manager: EntityManager = this.dataSource.manager,
  ): Promise<SettingValue<N>> {
    const rows = await manager.find(SettingOverrideEntity, {
      where: [
        { name, scope: 'zone', scopeId: zoneId },
        { name, scope: 'global' },
      ],
    });
    const chosen = rows.find((row) => row.scope === 'zone') ?? rows[0];
    return chosen === undefined ? (SETTINGS[name].default as SettingValue<N>) : storedSetting(name, chosen.value);
  }

  private overrides(zoneId: string | undefined): Promise<SettingOverrideEntity[]> {
    const global = { scope: 'global' as const };
    return this.dataSource.manager.find(SettingOverrideEntity, {
      where: zoneId === undefined ? global : [global, { scope: 'zone', scopeId: zoneId }],
    });
  }

  private async requireZone(zoneId: string | undefined): Promise<void> {
    if (zoneId !== undefined && !(await this.dataSource.manager.existsBy(ZoneEntity, { id: zoneId }))) {
      throw new HoldfastError('NOT_FOUND', `There is no zone ${zoneId}. List the zones to see their ids.`, { zoneId });
    }
  }
}

function view(name: SettingName, overrides: readonly SettingOverrideEntity[]): Setting {
  const mine = overrides.filter((row) => row.name === name);
  const chosen = mine.find((row) => row.scope === 'zone') ?? mine[0];
  const definition = SETTINGS[name];
  const defaultValue = String(definition.default);
  return {
    name,
    value: chosen === undefined ? defaultValue : String(storedSetting(name, chosen.value)),
    defaultValue,
    unit: definition.unit,
    description: definition.description,
    scope: chosen?.scope ?? 'default',
  };
}
