/**
 * Which backups of a schedule stay and which go. Each rule works on its own; a backup stays when at least one keeps it.
 * Pure: rows in, verdicts with reasons out, in any order of the rows. Must not delete, nor know chains: what deleting a
 * backup means for those that build on it is the deletion's part.
 */
import { localClock, type LocalTime } from './local-time.js';

/** How many backups stay, counted back from the newest. Either `maxBackups`, or any of the keep rules. */
export interface RetentionPolicy {
  /** The newest ones. */
  readonly maxBackups?: number | undefined;
  /** The newest ones. */
  readonly keepLast?: number | undefined;
  /** The newest of each of so many hours, days, … that have a backup; borders are those of the schedule's time zone. */
  readonly keepHourly?: number | undefined;
  readonly keepDaily?: number | undefined;
  /** Weeks begin on Monday. */
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepYearly?: number | undefined;
}

/** A backup that exists and that nobody has deleted. */
export interface RetainableBackup {
  readonly id: string;
  /** Grows with every backup of the schedule. It says which is newer, and not `frozenAt`: a host's clock may jump back. */
  readonly order: bigint;
  readonly frozenAt: Date;
  /** Always stays, and takes no place of the others. */
  readonly protected: boolean;
}

export type RetentionRule = keyof RetentionPolicy;

export interface RetentionVerdict {
  readonly id: string;
  readonly keep: boolean;
  /** Why it stays, one phrase per rule that keeps it; or why it goes, one per rule that does not. */
  readonly reasons: readonly string[];
}

interface RuleFacts {
  /** Backups of one period count as one: the newest. Each is a period of its own for the rules that only count. */
  readonly period: ((time: LocalTime) => string) | undefined;
  readonly unit: string;
}

const two = (value: number): string => String(value).padStart(2, '0');
const dayOf = ({ year, month, day }: LocalTime): string => `${year}-${two(month)}-${two(day)}`;

const RULES: Readonly<Record<RetentionRule, RuleFacts>> = {
  maxBackups: { period: undefined, unit: 'backup' },
  keepLast: { period: undefined, unit: 'backup' },
  keepHourly: { period: (time) => `${dayOf(time)} ${two(time.hour)}:00${time.offset}`, unit: 'hour' },
  keepDaily: { period: dayOf, unit: 'day' },
  keepWeekly: { period: mondayOf, unit: 'week' },
  keepMonthly: { period: ({ year, month }) => `${year}-${two(month)}`, unit: 'month' },
  keepYearly: { period: ({ year }) => String(year), unit: 'year' },
};
const RULE_NAMES = Object.keys(RULES) as RetentionRule[];

/** Why a policy cannot be meant, as a phrase; undefined when it is sound. */
export function retentionProblem(policy: RetentionPolicy): string | undefined {
  const { maxBackups, ...keep } = policy;
  const kept = Object.values(keep).filter((count) => count !== undefined);
  if (maxBackups !== undefined && kept.length > 0)
    return 'give either maxBackups or keep rules, not both: maxBackups is the same as keepLast alone';
  const counts = maxBackups === undefined ? kept : [maxBackups];
  if (counts.every((count) => count < 1))
    return 'it would keep no backup at all: give at least one rule a number of 1 or more, or leave retention out to keep everything';
  return undefined;
}

/**
 * One verdict per backup, newest first. The newest backup always stays, as do protected ones. No rules: everything stays.
 * What goes once would never have come back by a newer backup.
 */
export function decideRetention(
  backups: readonly RetainableBackup[],
  policy: RetentionPolicy,
  timeZone: string,
): RetentionVerdict[] {
  const newestFirst = [...backups].sort((a, b) => (a.order < b.order ? 1 : -1));
  const rules = RULE_NAMES.filter((name) => (policy[name] ?? 0) > 0);
  const clock = localClock(timeZone);
  const counted = newestFirst.filter((backup) => !backup.protected).map(({ id, frozenAt }) => ({ id, time: clock(frozenAt) }));
  const keeps = new Map<string, string[]>();
  const drops = new Map<string, string[]>();
  for (const name of rules) {
    const { kept, dropped } = apply(name, policy[name] ?? 0, counted);
    for (const [id, why] of kept) keeps.set(id, [...(keeps.get(id) ?? []), why]);
    for (const [id, why] of dropped) drops.set(id, [...(drops.get(id) ?? []), why]);
  }
  return newestFirst.map(({ id, protected: isProtected }, index) => {
    const reasons = [
      ...(isProtected ? ['it is protected'] : []),
      ...(rules.length === 0 ? ['there are no retention rules'] : []),
      ...(index === 0 ? ['it is the newest'] : []),
      ...(keeps.get(id) ?? []),
    ];
    return reasons.length > 0 ? { id, keep: true, reasons } : { id, keep: false, reasons: drops.get(id) ?? [] };
  });
}

interface Counted {
  readonly id: string;
  readonly time: LocalTime;
}

/** Phrases of one rule, by id. `backups`: newest first. */
function apply(
  name: RetentionRule,
  count: number,
  backups: readonly Counted[],
): { kept: Map<string, string>; dropped: Map<string, string> } {
  const { period, unit } = RULES[name];
  const kept = new Map<string, string>();
  const dropped = new Map<string, string>();
  const seen = new Set<string>();
  const newest = `${name}: the newest ${count === 1 ? unit : `${count} ${unit}s`}`;
  for (const { id, time } of backups) {
    const key = period === undefined ? id : period(time);
    const label = period === undefined ? '' : ` ${key}`;
    if (seen.has(key)) dropped.set(id, `${name}: a newer backup stands for the ${unit}${label}`);
    else if (seen.size < count) kept.set(id, period === undefined ? newest : `${name}: the newest of the ${unit}${label}`);
    else dropped.set(id, `${name}: older than ${newest.slice(name.length + 2)}`);
    if (seen.size < count) seen.add(key);
  }
  return { kept, dropped };
}

/** The Monday of its week. */
function mondayOf({ year, month, day }: LocalTime): string {
  const date = new Date(Date.UTC(year, month - 1, day));
  date.setUTCDate(day - ((date.getUTCDay() + 6) % 7));
  return date.toISOString().slice(0, 10);
}
