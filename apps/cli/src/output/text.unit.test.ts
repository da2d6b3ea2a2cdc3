import { describe, expect, test } from '@jest/globals';
import { bytes, duration, keyValues, printable, table, time } from './text.js';

describe('text for people', () => {
  test('shows control and invisible characters instead of obeying them', () => {
    expect(printable('a\nb\u001b[31mc\u202ed')).toBe('a\\nb\\u{1b}[31mc\\u{202e}d');
    expect(printable(`it's "$(rm -rf /)" ; günther`)).toBe(`it's "$(rm -rf /)" ; günther`);
  });

  test('aligns columns by characters and leaves no spaces at line ends', () => {
    expect(
      table(
        ['NAME', 'ID'],
        [
          ['ü', '1'],
          ['longer', ''],
        ],
        'none',
      ),
    ).toBe('NAME    ID\nü       1\nlonger\n');
  });

  test('says so when there is nothing', () => {
    expect(table(['NAME'], [], 'No zones.')).toBe('No zones.\n');
  });

  test('leaves out values that are not known', () => {
    expect(
      keyValues([
        ['a', '1'],
        ['bcd', undefined],
        ['ef', 'x'],
      ]),
    ).toBe('a   1\nef  x\n');
  });

  test('writes times, sizes and durations', () => {
    expect(time('2026-11-21T10:00:00.123Z')).toBe('2026-11-21 10:00:00Z');
    expect(time(undefined)).toBe('-');
    expect(bytes('1610612736')).toBe('1.5 GiB');
    expect([duration(812), duration(192_000), duration(7_500_000)]).toEqual(['0.8 s', '3 min 12 s', '2 h 5 min']);
  });
});
