/**
 * Every setting once: name, type, default, unit, widest and narrowest scope, and what it means. Owns the registry and the
 * checking of a value. Must not know where overrides are stored.
 */
import { HoldfastError } from '../errors/holdfast-error.js';

/** Narrowest scope at which a setting may be set; every scope above it counts too (global → zone → cluster, global → account). */
export type SettingScope = 'zone' | 'cluster' | 'account';
export type SettingUnit = '' | 'seconds' | 'minutes' | 'hours' | 'MB/s' | '× backup size';

interface SettingBase {
  readonly unit: SettingUnit;
  readonly scope: SettingScope;
  readonly description: string;
}
export interface NumberSetting extends SettingBase {
  readonly type: 'integer' | 'number';
  readonly default: number;
  /** Smallest allowed value. */
  readonly minimum?: number;
}
export interface BooleanSetting extends SettingBase {
  readonly type: 'boolean';
  readonly default: boolean;
}
export type SettingDefinition = NumberSetting | BooleanSetting;

const integer = (
  defaultValue: number,
  unit: SettingUnit,
  scope: SettingScope,
  description: string,
  minimum?: number,
): NumberSetting => ({
  type: 'integer',
  default: defaultValue,
  unit,
  scope,
  description,
  ...(minimum === undefined ? {} : { minimum }),
});
const flag = (defaultValue: boolean, scope: SettingScope, description: string): BooleanSetting => ({
  type: 'boolean',
  default: defaultValue,
  unit: '',
  scope,
  description,
});

export const SETTINGS = {
  'backup.chain.size': integer(8, '', 'zone', 'Backups in a chain; 1: all full; below 1: unlimited'),
  'backup.timeout': integer(43_200, 'seconds', 'zone', 'Limit of one operation', 1),
  'backup.freeze.budget': integer(10, 'seconds', 'zone', 'Longest time that guest file systems may be frozen', 1),
  'backup.max.concurrent.operations.per.host': integer(
    4,
    '',
    'cluster',
    'Backups, restores and compactions at once on one host; below 1: no limit',
  ),
  'backup.compression.task.enabled': flag(true, 'account', 'New compression jobs are started'),
  'backup.compression.max.concurrent.operations.per.host': integer(
    5,
    '',
    'cluster',
    'Compression jobs at once on one host; below 1: no limit',
  ),
  'backup.compression.max.concurrent.operations': integer(
    10,
    '',
    'zone',
    'Compression jobs at once in a zone; below 1: no limit',
  ),
  'backup.compression.max.job.retries': integer(2, '', 'cluster', 'Attempts of a compression job', 0),
  'backup.compression.retry.interval': integer(60, 'minutes', 'cluster', 'Time between two attempts of a compression job', 0),
  'backup.compression.timeout': integer(28_800, 'seconds', 'cluster', 'Limit of one compression job', 1),
  'backup.compression.minimum.free.storage': {
    type: 'number',
    default: 1,
    unit: '× backup size',
    scope: 'zone',
    description: 'Free space that a storage must have before a compression starts, as a multiple of the backup size',
    minimum: 0,
  },
  'backup.compression.coroutines': integer(1, '', 'cluster', 'Coroutines of qemu-img while compressing', 1),
  'backup.compression.rate.limit': integer(0, 'MB/s', 'cluster', 'Rate limit of a compression; below 1: off'),
  'backup.compaction.enabled': flag(
    false,
    'zone',
    'When the oldest backup of a chain is deleted, its space is given back by merging it with its only child on storage',
  ),
  'backup.compaction.rate.limit': integer(0, 'MB/s', 'zone', 'Limit for what a compaction writes; below 1: off'),
  'backup.validation.task.enabled': flag(true, 'account', 'New validation jobs are started'),
  'backup.validation.interval': integer(24, 'hours', 'account', 'Time between two validations of a backup', 1),
  'backup.validation.max.concurrent.operations': integer(10, '', 'zone', 'Validation jobs at once in a zone; below 1: no limit'),
  'backup.validation.max.concurrent.operations.per.host': integer(
    1,
    '',
    'cluster',
    'Validation jobs at once on one host; below 1: no limit',
  ),
  'backup.validation.max.job.retries': integer(2, '', 'account', 'Attempts of a validation job', 0),
  'backup.validation.retry.interval': integer(60, 'minutes', 'account', 'Time between two attempts of a validation job', 0),
  'backup.validation.timeout': integer(3600, 'seconds', 'account', 'Limit of one validation job', 1),
  'backup.validation.boot.default.timeout': integer(
    240,
    'seconds',
    'account',
    'How long a validation waits for the guest agent',
    1,
  ),
  'backup.validation.script.default.timeout': integer(60, 'seconds', 'account', 'Limit of a validation command', 1),
  'backup.validation.screenshot.default.wait': integer(60, 'seconds', 'account', 'Wait before the screenshot of a validation', 0),
  'backup.validation.end.chain.on.fail': flag(true, 'account', 'A backup that is not valid ends its chain'),
  'enforce.resource.limit.on.backup.validation.vm': flag(
    false,
    'account',
    'Validation VMs count against the limits of the account',
  ),
} as const satisfies Record<string, SettingDefinition>;

export type SettingName = keyof typeof SETTINGS;
export type SettingValue<N extends SettingName> = (typeof SETTINGS)[N] extends { type: 'boolean' } ? boolean : number;

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** The definition of a setting. NOT_FOUND for a name that is none. */
export function settingDefinition(name: string): { readonly name: SettingName; readonly definition: SettingDefinition } {
  if (!Object.hasOwn(SETTINGS, name)) {
    throw new HoldfastError('NOT_FOUND', `There is no setting "${name}". List the settings to see their names.`, {
      setting: name,
    });
  }
  return { name: name as SettingName, definition: SETTINGS[name as SettingName] };
}

/** Reads a value as people write it. INVALID_INPUT that says what the setting takes. */
export function parseSetting<N extends SettingName>(name: N, text: string): SettingValue<N> {
  const definition: SettingDefinition = SETTINGS[name];
  const refuse = (wants: string): never => {
    throw new HoldfastError('INVALID_INPUT', `The setting ${name} takes ${wants}; "${text}" is not.`, {
      setting: name,
      value: text,
    });
  };
  const trimmed = text.trim();
  if (definition.type === 'boolean') {
    if (trimmed !== 'true' && trimmed !== 'false') return refuse('true or false');
    return (trimmed === 'true') as SettingValue<N>;
  }
  const pattern = definition.type === 'integer' ? /^-?\d{1,9}$/ : /^-?\d{1,9}(\.\d{1,6})?$/;
  if (!pattern.test(trimmed)) return refuse(definition.type === 'integer' ? 'a whole number' : 'a number');
  const value = Number(trimmed);
  if (definition.minimum !== undefined && value < definition.minimum) return refuse(`a number of at least ${definition.minimum}`);
  return value as SettingValue<N>;
}
