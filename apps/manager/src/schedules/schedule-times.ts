/** When a schedule fires: its text in its time zone as moments, and the jitter of each. Pure; croner knows the calendar. */
import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { CALENDAR_FORMS, cronOf } from '@holdfast/shared/policy/calendar-text.js';
import { isTimeZone } from '@holdfast/shared/policy/local-time.js';

/** So many runs are looked at to see how close they come to each other. */
const RUNS_FOR_JITTER = 60;

export interface Timing {
  readonly when: string;
  readonly timeZone: string;
  readonly jitterSeconds: number;
}

/**
 * The moments of one schedule. A time that the clocks leave out in spring is made up for at the moment of the change; one
 * that comes twice in autumn fires once, the first time; schedules by the hour or the minute go on by real time.
 */
export class ScheduleTimes {
  private constructor(
    /** The five fields. */
    readonly cron: string,
    private readonly times: Cron,
    private readonly jitterSeconds: number,
  ) {}

  /**
   * INVALID_INPUT, with the field named, for a text or a zone that means nothing, a schedule that fires never or, after
   * `now`, never again, and a jitter that reaches the next run.
   */
  static of(timing: Timing, now: Date): ScheduleTimes {
    const found = ScheduleTimes.known(timing);
    const { when, jitterSeconds } = timing;
    const runs = found.after(now, jitterSeconds === 0 ? 1 : RUNS_FOR_JITTER);
    if (runs.length === 0) throw wrong('when', `"${when}" never comes. Choose days that the months have.`);
    const gaps = runs.slice(1).map((run, index) => (run.getTime() - (runs[index]?.getTime() ?? 0)) / 1000);
    const shortest = Math.min(...gaps);
    if (jitterSeconds >= shortest)
      throw wrong('jitterSeconds', `it must be less than the ${shortest} seconds between two runs of "${when}".`);
    return found;
  }

  /** Of a schedule that was accepted once; its last run may be over. INVALID_INPUT as above for texts that mean nothing. */
  static known({ when, timeZone, jitterSeconds }: Timing): ScheduleTimes {
    const meaning = cronOf(when);
    if ('problem' in meaning) throw wrong('when', `${meaning.problem}. Write ${CALENDAR_FORMS}.`);
    if (!isTimeZone(timeZone)) throw wrong('timeZone', `there is no time zone "${timeZone}". Give a name like "Europe/Berlin".`);
    let times: Cron;
    try {
      times = new Cron(meaning.cron, { timezone: timeZone, mode: '5-part', paused: true });
    } catch (error) {
      throw wrong('when', `"${when}" is no cron text: ${error instanceof Error ? error.message : String(error)}`);
    }
    return new ScheduleTimes(meaning.cron, times, jitterSeconds);
  }

  /** The next `count` moments after `moment`, without jitter; fewer when there are no more. */
  after(moment: Date, count: number): Date[] {
    return this.times.nextRuns(count, moment);
  }

  /** The next run after `moment`: `fireAt` by the calendar, `runAt` with its jitter; undefined when none comes any more. */
  next(scheduleId: string, moment: Date): { fireAt: Date; runAt: Date } | undefined {
    const fireAt = this.times.nextRun(moment);
    if (fireAt === null) return undefined;
    return { fireAt, runAt: new Date(fireAt.getTime() + jitterMs(scheduleId, fireAt, this.jitterSeconds)) };
  }
}

/** The same for the same schedule and moment, whoever asks: 0 to `jitterSeconds`, in milliseconds. */
export function jitterMs(scheduleId: string, fireAt: Date, jitterSeconds: number): number {
  const hash = createHash('sha256').update(`${scheduleId} ${fireAt.toISOString()}`).digest();
  return hash.readUInt32BE(0) % (jitterSeconds * 1000 + 1);
}

function wrong(field: string, why: string): HoldfastError {
  return new HoldfastError('INVALID_INPUT', `The schedule is wrong. ${field}: ${why}`, { field });
}
