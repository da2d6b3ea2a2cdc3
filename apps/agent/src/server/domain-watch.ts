/**
 * What changed among the domains of this host: looked at regularly and at every hint, while somebody watches. Owns the
 * comparison; an event of libvirt is only ever a reason to look.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import type { Clock } from '../clock/clock.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { Log } from '../logging/log.js';

/** Rest after a look, as a multiple of what it took: under events without end the host is looked at a third of the time. */
const REST_PER_LOOK = 2;

/** Tells when libvirt says that something happened. Returns the end of it. */
export type DomainHints = (listener: () => void) => () => void;

export interface DomainChanges {
  /** All domains; others are gone. */
  readonly full: boolean;
  readonly domains: readonly ObservedDomain[];
  readonly goneUuids: readonly string[];
}

export interface DomainWatchOptions {
  readonly hypervisor: Pick<Hypervisor, 'observeAll'>;
  readonly hints?: DomainHints | undefined;
  readonly pollMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** First everything, then what differs, until the signal is aborted. An unreachable libvirt gives nothing, not "no domains". */
export async function* watchDomains(options: DomainWatchOptions, signal: AbortSignal): AsyncGenerator<DomainChanges> {
  let known: ReadonlyMap<string, ObservedDomain> | undefined;
  let wake = new AbortController();
  let hinted = false;
  const endHints = options.hints?.(() => {
    hinted = true;
    wake.abort();
  });
  try {
    while (!signal.aborted) {
      hinted = false;
      wake = new AbortController();
      const began = options.clock.now();
      const now = await observe(options);
      const ended = options.clock.now();
      if (now !== undefined) {
        const changes = compareDomains(known, now);
        known = new Map(now.map((domain) => [domain.uuid, domain]));
        if (changes !== undefined) yield changes;
      }
      if (!hinted) await options.clock.sleep(options.pollMs, AbortSignal.any([signal, wake.signal]));
      // One job of libvirt is a crowd of events: those that came during a look are answered by one more.
      const rest = Math.min(REST_PER_LOOK * (ended - began), options.pollMs) - (options.clock.now() - ended);
      if (rest > 0) await options.clock.sleep(rest, signal);
    }
  } finally {
    endHints?.();
  }
}

/** Pure. Undefined when nothing differs. Allocated bytes of a running guest differ always and are no change. */
export function compareDomains(
  known: ReadonlyMap<string, ObservedDomain> | undefined,
  now: readonly ObservedDomain[],
): DomainChanges | undefined {
  if (known === undefined) return { full: true, domains: now, goneUuids: [] };
  const present = new Set(now.map((domain) => domain.uuid));
  const goneUuids = [...known.keys()].filter((uuid) => !present.has(uuid));
  const domains = now.filter((domain) => {
    const before = known.get(domain.uuid);
    return before === undefined || likeness(before) !== likeness(domain);
  });
  return domains.length + goneUuids.length === 0 ? undefined : { full: false, domains, goneUuids };
}

function likeness(domain: ObservedDomain): string {
  return JSON.stringify(domain, (key, value: unknown) =>
    key === 'allocatedBytes' ? undefined : typeof value === 'bigint' ? String(value) : value,
  );
}

async function observe({ hypervisor, log }: DomainWatchOptions): Promise<readonly ObservedDomain[] | undefined> {
  try {
    return await hypervisor.observeAll();
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    log.warn('The domains cannot be observed now', { code: error.code, reason: error.message });
    return undefined;
  }
}
