import { describe, expect, it } from '@jest/globals';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { systemClock } from '../clock/clock.js';
import { silentLog } from '../logging/silent-log.js';
import { compareDomains, watchDomains } from './domain-watch.js';

function domain(uuid: string, more: Partial<ObservedDomain> = {}): ObservedDomain {
  return {
    uuid,
    name: uuid,
    state: 'running',
    persistent: true,
    guestAgent: false,
    vcpus: 1,
    memoryBytes: 1n,
    nvramPath: undefined,
    disks: [],
    snapshots: [],
    problems: [],
    ...more,
  };
}
function withAllocated(bytes: bigint): ObservedDomain {
  const layer = { path: '/a', format: 'qcow2' as const, inode: 1n, virtualSizeBytes: 2n, allocatedBytes: bytes };
  return domain('a', {
    disks: [
      {
        target: 'vda',
        serial: '',
        format: 'qcow2',
        virtualSizeBytes: 2n,
        layers: [layer],
        definedPath: '/a',
        refusal: undefined,
      },
    ],
  });
}

describe('watching domains', () => {
  it('compares what is there with what was known', () => {
    const known = new Map([domain('a'), domain('b'), domain('c')].map((one) => [one.uuid, one]));
    expect(compareDomains(undefined, [])).toEqual({ full: true, domains: [], goneUuids: [] });
    expect(compareDomains(known, [...known.values()])).toBeUndefined();
    const changed = domain('b', { state: 'shut-off' });
    expect(compareDomains(known, [domain('a'), changed, domain('d')])).toEqual({
      full: false,
      domains: [changed, domain('d')],
      goneUuids: ['c'],
    });
    expect(compareDomains(new Map([['a', withAllocated(1n)]]), [withAllocated(9n)])).toBeUndefined();
  });

  it('looks again at a hint, takes a libvirt that does not answer for no news, and ends with its watcher', async () => {
    const answers: (ObservedDomain[] | HoldfastError)[] = [
      [domain('a')],
      new HoldfastError('HYPERVISOR_UNAVAILABLE', 'away'),
      [domain('b')],
    ];
    let hint: () => void = () => undefined;
    let hintsEnded = false;
    const end = new AbortController();
    const options = {
      hypervisor: {
        observeAll: async () => {
          const answer = answers.shift() ?? [];
          // The next look is asked for while this one goes on, as an event would.
          hint();
          if (answer instanceof HoldfastError) throw answer;
          return answer;
        },
      },
      hints: (listener: () => void) => {
        hint = listener;
        return () => {
          hintsEnded = true;
        };
      },
      pollMs: 3_600_000,
      clock: systemClock,
      log: silentLog,
    };
    const seen: unknown[] = [];
    for await (const changes of watchDomains(options, end.signal)) {
      seen.push(changes);
      if (seen.length === 2) end.abort();
    }
    expect(seen).toEqual([
      { full: true, domains: [domain('a')], goneUuids: [] },
      { full: false, domains: [domain('b')], goneUuids: ['a'] },
    ]);
    expect(hintsEnded).toBe(true);
  });

  it('rests twice as long as a look took when hints never end, and answers a late one at once', async () => {
    const end = new AbortController();
    const LOOK_MS = 100;
    let nowMs = 0;
    let hint: () => void = () => undefined;
    const looks: number[] = [];
    const options = {
      hypervisor: {
        observeAll: async () => {
          looks.push(nowMs);
          nowMs += LOOK_MS;
          // Events go on until the third look; the last one comes long after the fourth.
          if (looks.length < 4) hint();
          if (looks.length === 5) end.abort();
          return [];
        },
      },
      hints: (listener: () => void) => {
        hint = listener;
        return () => undefined;
      },
      pollMs: 10_000,
      clock: {
        now: () => nowMs,
        async sleep(ms: number) {
          // The long wait after the fourth look is cut short by an event.
          nowMs += ms === options.pollMs ? 5_000 : ms;
        },
      },
      log: silentLog,
    };
    for await (const changes of watchDomains(options, end.signal)) expect(changes.full).toBe(true);
    expect(looks).toEqual([0, 300, 600, 900, 6_000]);
  });
});
