/** The mounts of this host, read from /proc/self/mountinfo (the kernel's memory: never hangs). Owns its parsing. */
import { readFile } from 'node:fs/promises';

export interface Mount {
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
}

/** All mounts, in mount order: of two at one place the last is the one on top. */
export async function readMounts(): Promise<Mount[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Pure part of readMounts. Lines: `36 35 98:0 /root /point opts [optional …] - type source superopts`. */
export function parseMountInfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const separator = fields.indexOf('-', 6);
      return {
        mountPoint: unescape(fields[4] ?? ''),
        type: fields[separator + 1] ?? '',
        source: unescape(fields[separator + 2] ?? ''),
      };
    });
}

/** The kernel writes space, tab, line end and backslash as octal. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
