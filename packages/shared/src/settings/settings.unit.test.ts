/** The settings registry: defaults are valid, wrong values are refused with what is wanted. */
import { describe, expect, it } from '@jest/globals';
import { parseSetting, SETTING_NAMES, settingName, SETTINGS } from './settings.js';

describe('settings', () => {
  it.each(SETTING_NAMES)('%s takes its own default', (name) => {
    expect(parseSetting(name, String(SETTINGS[name].default))).toBe(SETTINGS[name].default);
  });

  it.each([
    ['backup.chain.size', 'many'],
    ['backup.chain.size', '1.5'],
    ['backup.timeout', '0'],
    ['backup.timeout', '-1'],
    ['backup.compaction.enabled', 'yes'],
  ] as const)('refuses %s = %s', (name, text) => {
    expect(() => parseSetting(name, text)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
  });

  it('does not know what is not a setting, nor properties of objects', () => {
    for (const name of ['backup.nothing', 'backup.validation.interval', 'toString', '__proto__']) {
      expect(() => settingName(name)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    }
  });
});
