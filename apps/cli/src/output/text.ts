/**
 * Text for people: tables, key-value blocks, times, sizes. Pure. Whatever comes from outside passes through `printable`.
 */
import { formatBytes } from '@holdfast/shared/units/bytes.js';

/** Names may hold anything: control and invisible characters are shown, not obeyed. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\r') return '\\r';
    if (character === '\t') return '\\t';
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

function width(text: string): number {
  return [...text].length;
}

/** Columns padded to their widest cell; the last one is not padded. No rows: `empty`. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  if (rows.length === 0) return `${empty}\n`;
  const cells = [headings, ...rows.map((row) => row.map(printable))];
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ''))));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - width(cell))))
      .join('  ')
      .trimEnd();
  return `${cells.map(line).join('\n')}\n`;
}

/** `name  value` lines; undefined values are left out. */
export function keyValues(pairs: readonly (readonly [string, string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined);
  const longest = Math.max(0, ...shown.map(([name]) => width(name)));
  return shown.map(([name, value]) => `${name.padEnd(longest)}  ${printable(value)}\n`).join('');
}

/** `2026-11-21T10:00:00.123Z` → `2026-11-21 10:00:00Z`. */
export function time(iso: string | undefined): string {
  if (iso === undefined) return '-';
  return iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}

/** A decimal string of bytes for people; `-` when not known. */
export function bytes(decimal: string | undefined): string {
  return decimal === undefined ? '-' : formatBytes(BigInt(decimal));
}

/** `0.8 s`, `3 min 12 s`, `2 h 5 min`. Milliseconds in. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** `Name of thing: CODE`: an error inside a resource. */
export function errorLine(error: { readonly code: string; readonly message: string } | undefined): string | undefined {
  return error && `${error.message} [${error.code}]`;
}
