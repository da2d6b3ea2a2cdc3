/** The settings registry: defaults are valid, wrong values are refused with what is wanted. */
import { describe, expect, it } from '@jest/globals';
import { parseSetting, SETTING_NAMES, settingName, SETTINGS, storedSetting, type SettingDefinition } from './settings.js';

describe('settings', () => {
  it.each(SETTING_NAMES)('%s takes its own default', (name) => {
    expect(parseSetting(name, String(SETTINGS[name].default))).toBe(SETTINGS[name].default);
  });

  it.each([
    ['backup.chain.size', 'many'],
    ['backup.chain.size', '1.5'],
    ['backup.timeout', '0'],
    ['backup.timeout', '-1'],
    ['backup.timeout', '2592001'],
    ['backup.freeze.budget', '3601'],
    ['backup.freeze.budget', '4294968'],
    ['backup.max.concurrent.operations.per.host', '10001'],
    ['backup.compaction.rate.limit', '1000001'],
    ['backup.chain.size', '1001'],
    ['backup.compaction.enabled', 'yes'],
  ] as const)('refuses %s = %s', (name, text) => {
    expect(() => parseSetting(name, text)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
  });

  it.each(SETTING_NAMES)('%s, at its largest, can be told to an agent in milliseconds', (name) => {
    const definition: SettingDefinition = SETTINGS[name];
    if (definition.type !== 'integer' || definition.unit !== 'seconds') return;
    expect(parseSetting(name, String(definition.maximum))).toBe(definition.maximum);
    expect(definition.maximum * 1000).toBeLessThan(2 ** 32);
  });

  it('takes the nearest allowed value for one that was stored when it was allowed', () => {
    expect(storedSetting('backup.freeze.budget', '4294968')).toBe(3600);
    expect(storedSetting('backup.freeze.budget', '30')).toBe(30);
    expect(storedSetting('backup.chain.size', '-5')).toBe(-5);
    expect(storedSetting('backup.compaction.enabled', 'true')).toBe(true);
  });

  it('does not know what is not a setting, nor properties of objects', () => {
    for (const name of ['backup.nothing', 'backup.validation.interval', 'toString', '__proto__']) {
      expect(() => settingName(name)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    }
  });
});
