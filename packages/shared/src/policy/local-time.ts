/** Moments as the clocks of a time zone show them. Pure: zone rules come from the platform's own data. */

/** What a clock in the zone shows. `offset`: from UTC, "+02:00"; it tells the two passes of a repeated hour apart. */
export interface LocalTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly offset: string;
}

/** True for the name of a time zone that is known here, like "Europe/Berlin" or "UTC". Bare offsets are no names. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** A reader of moments for one zone; make it once and use it often. Throws RangeError for an unknown zone. */
export function localClock(timeZone: string): (moment: Date) => LocalTime {
  const format = new Intl.DateTimeFormat('en-u-ca-iso8601-nu-latn', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'longOffset',
  });
  return (moment) => {
    const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, value]));
    const number = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type));
    const offset = (parts.get('timeZoneName') ?? 'GMT').replace('GMT', '');
    return {
      year: number('year'),
      month: number('month'),
      day: number('day'),
      hour: number('hour'),
      minute: number('minute'),
      second: number('second'),
      offset: offset === '' ? '+00:00' : offset,
    };
  };
}

/** ISO 8601 with the zone's offset: `2026-11-22T02:00:00+01:00`. */
export function localIso(time: LocalTime): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const { year, month, day, hour, minute, second, offset } = time;
  return `${year}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}${offset}`;
}
