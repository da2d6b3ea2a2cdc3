/** Bytes for people and for JSON. Bytes are bigint inside; in JSON they are decimal strings, so that no reader rounds them. */
import { z } from 'zod';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `1536n` → `1.5 KiB`. One decimal above bytes, none for whole numbers. */
export function formatBytes(bytes: bigint): string {
  let unit = 0;
  let scaled = Number(bytes);
  while (Math.abs(scaled) >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  const text = unit === 0 || Number.isInteger(scaled) ? String(scaled) : scaled.toFixed(1);
  return `${text} ${UNITS[unit]}`;
}

/** Bytes as they stand in JSON: a decimal string. */
export const bytesSchema = z.string().regex(/^\d+$/).describe('Bytes, as a decimal string');
