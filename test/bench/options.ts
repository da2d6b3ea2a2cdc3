/** What `make bench` can be told by environment variables. Pure: the environment in, options out. */
import { join } from 'node:path';

export interface BenchOptions {
  /** Counted runs of each case and competitor; one more, not counted, warms everything up. */
  readonly runs: number;
  /** Virtual size of the disk. */
  readonly sizeGiB: number;
  /** Data on it before the first backup. */
  readonly dataGiB: number;
  /** What the guest overwrites before each incremental backup. */
  readonly changeMiB: number;
  /** Absolute path of the file for the figures. */
  readonly jsonFile?: string;
}

/** Throws, with the name of the variable, when a value cannot be used. `cwd`: what a relative JSON path is relative to. */
export function benchOptions(env: Readonly<Record<string, string | undefined>>, cwd: string): BenchOptions {
  const whole = (name: string, fallback: number, least: number): number => {
    const text = env[name] ?? '';
    if (text === '') return fallback;
    if (!/^\d+$/.test(text) || Number(text) < least) throw new Error(`${name}=${text}: give a whole number of at least ${least}`);
    return Number(text);
  };
  const options = {
    runs: whole('RUNS', 3, 1),
    sizeGiB: whole('SIZE_GIB', 8, 1),
    dataGiB: whole('DATA_GIB', 3, 1),
    changeMiB: whole('CHANGE_MIB', 256, 4),
  };
  // The file system needs room beside the data, and every run overwrites data in place.
  if (options.dataGiB * 1.2 > options.sizeGiB) throw new Error('DATA_GIB does not fit: SIZE_GIB must be at least 1.2 × DATA_GIB');
  if (options.changeMiB > options.dataGiB * 256)
    throw new Error('CHANGE_MIB is too much: at most a quarter of the data can change');
  const json = env['JSON'] ?? '';
  return json === '' ? options : { ...options, jsonFile: join(json.startsWith('/') ? '' : cwd, json) };
}

/** MiB of memory that a copy of all data needs. */
export function copyMiB(options: BenchOptions): number {
  return Math.ceil(options.dataGiB * 1024 * 1.25);
}
