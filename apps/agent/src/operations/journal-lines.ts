/**
 * Reading the lines of a journal. Owns the one rule: bytes after the last line end are a write that a crash tore, were never
 * confirmed to anybody and are dropped; anything else that is not an entry is damage. Pure.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { z } from 'zod';
import type { JournalEntry } from './operation-view.js';

const at = z.number();
const error = z.object({ code: z.string(), message: z.string(), fields: z.record(z.string(), z.string()) });
const step = { at, name: z.string(), subject: z.string() };
const entrySchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('started'), at }),
  z.object({ type: z.literal('resumed'), at }),
  z.object({ type: z.literal('step-intent'), ...step, intent: z.json() }),
  z.object({ type: z.literal('step-confirmed'), ...step, result: z.json() }),
  z.object({ type: z.literal('step-failed'), ...step, error }),
  z.object({ type: z.literal('point-of-no-return'), at }),
  z.object({ type: z.literal('warning'), at, message: z.string() }),
  z.object({ type: z.literal('stop-requested'), at, error }),
  z.object({ type: z.literal('failing'), at, error }),
  z.object({
    type: z.literal('finished'),
    at,
    state: z.enum(['Succeeded', 'Failed', 'Cancelled']),
    vmOutcome: z.enum(['AsBefore', 'AsAfter', 'MergePending', 'Unexplained']).optional(),
    error: error.optional(),
    result: z.json().optional(),
  }),
]);

/** One entry as its line, with the line end that makes it whole. */
export function journalLine(entry: JournalEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/**
 * The entries of a journal's bytes, and how many of the bytes they fill (the rest is a torn tail to cut off).
 * BUG naming `file` and line when a whole line is not an entry.
 */
export function parseJournal(bytes: Buffer, file: string): { entries: JournalEntry[]; wholeBytes: number } {
  const wholeBytes = bytes.lastIndexOf(0x0a) + 1;
  const lines = bytes.subarray(0, wholeBytes).toString('utf8').split('\n').slice(0, -1);
  return { entries: lines.map((line, index) => parseLine(line, file, index + 1)), wholeBytes };
}

function parseLine(line: string, file: string, number: number): JournalEntry {
  try {
    return entrySchema.parse(JSON.parse(line)) as JournalEntry;
  } catch (cause) {
    throw new HoldfastError(
      'BUG',
      `The journal ${file} is damaged in line ${number}. Nothing was done with its operation; keep the file and report it, then move its folder away.`,
      { file, line: String(number) },
      { cause },
    );
  }
}
