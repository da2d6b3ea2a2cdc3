/**
 * When a schedule fires, as people write it: five cron fields, or a sentence like "daily at 02:00". Turns either into cron
 * fields. Pure. Must not know zones nor moments: which runs come of it is the manager's part.
 */

/** Shown with every refusal: one of each form. */
export const CALENDAR_FORMS =
  '"hourly at :15", "daily at 02:00", "weekly on monday at 02:00", "monthly on 1 at 02:00", "monthly on last at 02:00", or five cron fields like "0 2 * * 1-5"';

const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

/** What a text means, or why it means nothing (a phrase for a message). */
export type CalendarText = { readonly cron: string } | { readonly problem: string };

/** The five cron fields of `text`. Their values are not checked here. Case and extra blanks do not matter. */
export function cronOf(text: string): CalendarText {
  const words = text.trim().toLowerCase().split(/\s+/).join(' ');
  const sentence = /^(hourly|daily|weekly|monthly)(?: on (.+?))?(?: at (\S+))?$/.exec(words);
  if (sentence !== null) {
    const [, every = '', on, at] = sentence;
    return ofSentence(every, on, at);
  }
  if (/^[a-z@]+$/.test(words.split(' ')[0] ?? '')) return { problem: `"${text}" is not understood` };
  const fields = words.split(' ').length;
  return fields === 5 ? { cron: words } : { problem: `cron text has five fields, and "${text}" has ${fields}` };
}

function ofSentence(every: string, on: string | undefined, at: string | undefined): CalendarText {
  if (every === 'hourly') {
    if (on !== undefined) return { problem: '"hourly" takes no day' };
    const minute = at === undefined ? 0 : minuteOf(at);
    return minute === undefined ? { problem: `"${at}" is no minute: write it as ":15"` } : { cron: `${minute} * * * *` };
  }
  const time = at === undefined ? { hour: 0, minute: 0 } : timeOf(at);
  if (time === undefined) return { problem: `"${at}" is no time of day: write it as "02:00"` };
  const start = `${time.minute} ${time.hour}`;
  if (every === 'daily') return on === undefined ? { cron: `${start} * * *` } : { problem: '"daily" takes no day' };
  if (on === undefined)
    return { problem: `"${every}" needs a day: "${every} on ${every === 'weekly' ? 'monday' : '1'} at 02:00"` };
  const parts = on.split(/ ?, ?| and /);
  return every === 'weekly' ? ofWeekdays(start, parts) : ofMonthDays(start, parts);
}

function ofWeekdays(start: string, names: readonly string[]): CalendarText {
  const days: number[] = [];
  for (const name of names) {
    const day = DAYS.findIndex((full) => name === full || name === full.slice(0, 3));
    if (day < 0) return { problem: `"${name}" is no day of the week` };
    days.push(day);
  }
  return { cron: `${start} * * ${[...new Set(days)].sort((a, b) => a - b).join(',')}` };
}

function ofMonthDays(start: string, names: readonly string[]): CalendarText {
  for (const name of names) {
    const known = name === 'last' || (/^\d{1,2}$/.test(name) && Number(name) >= 1 && Number(name) <= 31);
    if (!known) return { problem: `"${name}" is no day of a month: 1 to 31, or "last"` };
  }
  const days = [...new Set(names.map((name) => (name === 'last' ? 'L' : String(Number(name)))))];
  return { cron: `${start} ${days.join(',')} * *` };
}

function minuteOf(text: string): number | undefined {
  const minute = /^:([0-5]\d)$/.exec(text)?.[1];
  return minute === undefined ? undefined : Number(minute);
}

function timeOf(text: string): { hour: number; minute: number } | undefined {
  const [, hour, minute] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  return hour === undefined || minute === undefined ? undefined : { hour: Number(hour), minute: Number(minute) };
}
