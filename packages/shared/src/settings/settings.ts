/**
 * Every setting once: name, type, default, unit, and what it means; each can be set globally and for a zone. Owns the registry
 * and the checking of a value. Must not know where overrides are stored.
 */
import { HoldfastError } from '../errors/holdfast-error.js';

export type SettingUnit = '' | 'seconds' | 'MB/s';

interface SettingBase {
  readonly unit: SettingUnit;
  readonly description: string;
}
export interface IntegerSetting extends SettingBase {
  readonly type: 'integer';
  readonly default: number;
  /** Smallest allowed value. */
  readonly minimum?: number;
  /** Largest allowed value. */
  readonly maximum: number;
}
export interface BooleanSetting extends SettingBase {
  readonly type: 'boolean';
  readonly default: boolean;
}
export type SettingDefinition = IntegerSetting | BooleanSetting;

/** A value beyond these is a slip, or could not be told to an agent: seconds and counts go there in 32 bits, also as milliseconds. */
interface Bounds {
  readonly minimum?: number;
  readonly maximum: number;
}

const integer = (defaultValue: number, unit: SettingUnit, description: string, bounds: Bounds): IntegerSetting => ({
  type: 'integer',
  default: defaultValue,
  unit,
  description,
  ...bounds,
});
const flag = (defaultValue: boolean, description: string): BooleanSetting => ({
  type: 'boolean',
  default: defaultValue,
  unit: '',
  description,
});

export const SETTINGS = {
  'backup.chain.size': integer(8, '', 'Backups in a chain; 1: all full; below 1: unlimited', { maximum: 1000 }),
  'backup.timeout': integer(43_200, 'seconds', 'Limit of one operation, 30 days at most', { minimum: 1, maximum: 30 * 86_400 }),
  'backup.freeze.budget': integer(
    10,
    'seconds',
    'Longest time that guest file systems may be frozen; an hour at most, for whatever writes in the guest hangs so long',
    { minimum: 1, maximum: 3600 },
  ),
  'backup.max.concurrent.operations.per.host': integer(
    4,
    '',
    'Backups, restores and compactions at once on one host; below 1: no limit',
    { maximum: 10_000 },
  ),
  'backup.compaction.enabled': flag(
    false,
    'When the oldest backup of a chain is deleted, its space is given back by merging it with its only child on storage',
  ),
  'backup.compaction.rate.limit': integer(0, 'MB/s', 'Limit for what a compaction writes; below 1: off', { maximum: 1_000_000 }),
} as const satisfies Record<string, SettingDefinition>;

export type SettingName = keyof typeof SETTINGS;
export type SettingValue<N extends SettingName> = (typeof SETTINGS)[N] extends { type: 'boolean' } ? boolean : number;

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** The name, known to be one of a setting; NOT_FOUND otherwise. */
export function settingName(name: string): SettingName {
  if (!Object.hasOwn(SETTINGS, name)) {
    throw new HoldfastError('NOT_FOUND', `There is no setting "${name}". List the settings to see their names.`, {
      setting: name,
    });
  }
  return name as SettingName;
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
  if (!/^-?\d{1,9}$/.test(trimmed)) return refuse('a whole number');
  const value = Number(trimmed);
  if (definition.minimum !== undefined && value < definition.minimum) return refuse(`a number of at least ${definition.minimum}`);
  if (value > definition.maximum) return refuse(`a number of at most ${definition.maximum}`);
  return value as SettingValue<N>;
}

/** Reads a value that was stored. One that was allowed once and is not any more counts as the nearest that is: work goes on. */
export function storedSetting<N extends SettingName>(name: N, text: string): SettingValue<N> {
  const definition: SettingDefinition = SETTINGS[name];
  if (definition.type === 'boolean') return (text === 'true') as SettingValue<N>;
  const { minimum = Number.MIN_SAFE_INTEGER, maximum } = definition;
  return Math.min(maximum, Math.max(minimum, Number(text))) as SettingValue<N>;
}
