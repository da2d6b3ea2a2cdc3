/**
 * Looks at all VMs once at the start and after hints of libvirt, when nobody else does: without a manager that watches,
 * the start guard must hear of changes as well. Owns the wait; what is seen reaches the guard through the hypervisor.
 */
import type { Clock } from '../clock/clock.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { StartGuard } from './start-guard.js';

/** Hints come in crowds, and a manager that watches looks at once. */
const WAIT_MS = 3_000;

export class LookOnHints {
  private readonly stopped = new AbortController();
  private waiting = false;

  constructor(
    private readonly ports: {
      readonly hypervisor: Pick<Hypervisor, 'observeAll'>;
      readonly guard: Pick<StartGuard, 'timesSeenAll'>;
      readonly clock: Clock;
    },
  ) {}

  /** Something happened: all VMs are looked at a little later. */
  hint(): void {
    if (this.waiting || this.stopped.signal.aborted) return;
    this.waiting = true;
    void this.look();
  }

  stop(): void {
    this.stopped.abort();
  }

  private async look(): Promise<void> {
    const { guard, hypervisor, clock } = this.ports;
    const before = guard.timesSeenAll;
    await clock.sleep(WAIT_MS, this.stopped.signal);
    this.waiting = false;
    if (guard.timesSeenAll > before) return;
    // A libvirt that is away gives the next hint when it comes back.
    if (!this.stopped.signal.aborted) await hypervisor.observeAll().catch(() => undefined);
  }
}
