/**
 * What this agent owes to guests: a guest that it froze must be thawed, one that it suspended must be resumed, whatever
 * dies in between. A duty is durable (fsynced) before the guest is touched and goes away only when the guest has been seen
 * free. Owns those files and the loop that fulfils them; nothing else in Holdfast ever thaws or resumes a guest.
 *
 * Why a status is asked for and not the return of a thaw: a freeze call that timed out may still be carried out when the
 * guest agent wakes. The agent answers in order, so once it says "thawed" after our freeze call, nothing is queued behind.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Clock } from '../clock/clock.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { Log } from '../logging/log.js';
import { InTurn } from '../process/in-turn.js';

export type DutyKind = 'thaw' | 'resume';

/**
 * How far a duty is: `relieved`, and every call since it was taken on was answered well; `relieved-late`, the guest has been seen
 * free, but a call failed before, and what the guest did then is not known; `owed` still.
 */
export type Relief = 'relieved' | 'relieved-late' | 'owed';

interface Duty {
  readonly vmUuid: string;
  readonly kind: DutyKind;
}

const CALL_MS = 5_000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

export class GuestDuties {
  /** Loops that are at work, by file name. */
  private readonly pending = new Map<string, Promise<void>>();
  /** Owed, and not asked for yet: the guest is its owner's, who may touch it at any moment. By file name. */
  private readonly owned = new Set<string>();
  /** A call for it failed since it was taken on. By file name. */
  private readonly failed = new Set<string>();
  /** What is done for a duty, from the first look to the removal of its file, and the writing of that file: never at once. */
  private readonly turns = new InTurn();
  private readonly stop = new AbortController();

  constructor(
    private readonly options: {
      /** Directory in the agent's own state. */
      readonly dir: string;
      readonly hypervisor: Pick<
        Hypervisor,
        'observe' | 'hasSavedState' | 'thaw' | 'freezeStatus' | 'resume' | 'tendOrphan' | 'bringQemuBackInStep'
      >;
      readonly clock: Clock;
      readonly log: Log;
    },
  ) {}

  /**
   * Writes the duty down. Call before the guest is touched, and fulfil afterwards. In between nobody relieves the guest; waits
   * for whoever is just doing so, because what that one has seen is of the time before.
   */
  async owe(vmUuid: string, kind: DutyKind): Promise<void> {
    const duty = { vmUuid, kind };
    this.owned.add(this.name(duty));
    this.failed.delete(this.name(duty));
    try {
      await this.turns.run(this.name(duty), () => this.write(duty));
    } catch (thrown) {
      this.owned.delete(this.name(duty));
      throw thrown;
    }
  }

  /**
   * Fulfils the duty now, if there is one. Waits at most `patienceMs`; after that it goes on in the background.
   */
  async fulfil(vmUuid: string, kind: DutyKind, patienceMs: number): Promise<Relief> {
    const duty = { vmUuid, kind };
    this.owned.delete(this.name(duty));
    const free = !(await this.isOwed(duty)) || (await this.isDone(duty, patienceMs));
    if (!free) return 'owed';
    return this.failed.has(this.name(duty)) ? 'relieved-late' : 'relieved';
  }

  private async isDone(duty: Duty, patienceMs: number): Promise<boolean> {
    const loop = this.loopFor(duty);
    const patience = new AbortController();
    const done = await Promise.race([
      loop.then(() => true),
      this.options.clock.sleep(patienceMs, patience.signal).then(() => false),
    ]);
    patience.abort();
    return done;
  }

  /** Both kinds for one VM: the first thing after a restart and the first thing of every undo. */
  async relieve(vmUuid: string): Promise<void> {
    await Promise.all([this.fulfil(vmUuid, 'thaw', 2 * CALL_MS), this.fulfil(vmUuid, 'resume', 2 * CALL_MS)]);
  }

  /** Starts on every duty that an earlier life left. Returns at once. */
  async relieveAll(): Promise<void> {
    const names = await readdir(this.options.dir).catch(() => [] as string[]);
    for (const name of names.filter((entry) => entry.endsWith('.duty'))) {
      const duty = JSON.parse(await readFile(join(this.options.dir, name), 'utf8')) as Duty;
      this.owned.delete(this.name(duty));
      void this.loopFor(duty);
    }
  }

  /** Ends the loops (the duties stay on disk). For an orderly stop. */
  async close(): Promise<void> {
    this.stop.abort();
    await Promise.all(this.pending.values());
  }

  private loopFor(duty: Duty): Promise<void> {
    const key = this.name(duty);
    let loop = this.pending.get(key);
    if (!loop) {
      loop = this.work(duty).finally(() => this.pending.delete(key));
      this.pending.set(key, loop);
    }
    return loop;
  }

  private async work(duty: Duty): Promise<void> {
    const { clock, log } = this.options;
    let wait = FIRST_WAIT_MS;
    while (!this.stop.signal.aborted) {
      // Its owner will want it soon, and the guest may be frozen then: no longer wait than at first.
      if (this.owned.has(this.name(duty))) wait = FIRST_WAIT_MS;
      try {
        if (await this.turns.run(this.name(duty), () => this.tryOnce(duty))) return;
      } catch (thrown) {
        const error = HoldfastError.from(thrown);
        if (!this.owned.has(this.name(duty))) this.failed.add(this.name(duty));
        log.warn(`could not ${duty.kind} the guest yet, trying again`, {
          vm: duty.vmUuid,
          code: error.code,
          reason: error.message,
        });
      }
      await clock.sleep(wait, this.stop.signal);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  /** True when the guest has been seen free and the duty is gone. */
  private async tryOnce(duty: Duty): Promise<boolean> {
    if (this.owned.has(this.name(duty)) || !(await this.attempt(duty))) return false;
    await rm(this.path(duty), { force: true });
    await this.syncDir();
    return true;
  }

  /** Relieves the guest; true when it has been seen free. */
  private async attempt({ vmUuid, kind }: Duty): Promise<boolean> {
    const { hypervisor } = this.options;
    if (kind === 'thaw') {
      // A guest that is not running any more is not frozen either; asked only when the guest agent does not answer.
      try {
        // Thawing a guest that is not frozen does nothing; what it says afterwards is what counts.
        await hypervisor.thaw(vmUuid, CALL_MS);
        return (await hypervisor.freezeStatus(vmUuid, CALL_MS)) === 'thawed';
      } catch (thrown) {
        const domain = await hypervisor.observe(vmUuid);
        if (domain === undefined || domain.state === 'shut-off') return !(await this.sleeps(vmUuid, domain));
        throw thrown;
      }
    }
    let domain = await hypervisor.observe(vmUuid);
    if (domain?.state === 'paused' && outOfStep(domain).length > 0) domain = await this.bringBackInStep(vmUuid);
    if (domain?.problems.some((problem) => problem.code === 'ORPHANED_QEMU')) {
      await hypervisor.tendOrphan(vmUuid);
      return true;
    }
    if (domain === undefined || domain.state !== 'paused') return !(await this.sleeps(vmUuid, domain));
    await hypervisor.resume(vmUuid);
    return (await hypervisor.observe(vmUuid))?.state !== 'paused';
  }

  /**
   * Mends a VM that is out of step before its guest goes on (the repair itself lets a guest go on that it had stopped). Throws as
   * long as the guest would write to files that its definition does not name: its next start would take older ones.
   */
  private async bringBackInStep(vmUuid: string): Promise<ObservedDomain | undefined> {
    const { hypervisor } = this.options;
    const failure = await hypervisor.bringQemuBackInStep(vmUuid).then(
      () => undefined,
      (thrown: unknown) => HoldfastError.from(thrown),
    );
    // Given up for good: what could be done is that the definition names what QEMU uses.
    if (failure !== undefined && failure.code !== 'CHAIN_UNEXPLAINED') throw failure;
    const domain = await hypervisor.observe(vmUuid);
    if (domain?.state !== 'paused' || !domain.persistent) return domain;
    const wrong = outOfStep(domain).find(({ fields }) => {
      const disk = domain.disks.find(({ target }) => target === fields['target']);
      return disk?.definedPath === undefined || disk.definedPath !== fields['qemuPath'];
    });
    if (wrong !== undefined) throw failure ?? HoldfastError.fromData(wrong);
    return domain;
  }

  /** A guest that was saved with its memory wakes as it was saved, frozen or suspended: what it is owed waits for that. */
  private async sleeps(vmUuid: string, domain: ObservedDomain | undefined): Promise<boolean> {
    return domain?.state === 'shut-off' && (await this.options.hypervisor.hasSavedState(vmUuid));
  }

  private async write(duty: Duty): Promise<void> {
    await mkdir(this.options.dir, { recursive: true });
    const path = this.path(duty);
    const file = await open(`${path}.new`, 'w');
    try {
      await file.writeFile(JSON.stringify(duty));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    await this.syncDir();
  }

  private async isOwed(duty: Duty): Promise<boolean> {
    if (this.pending.has(this.name(duty))) return true;
    return readFile(this.path(duty)).then(
      () => true,
      () => false,
    );
  }

  private async syncDir(): Promise<void> {
    const dir = await open(this.options.dir, 'r');
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  }

  private name(duty: Duty): string {
    return `${duty.vmUuid}.${duty.kind}.duty`;
  }

  private path(duty: Duty): string {
    return join(this.options.dir, this.name(duty));
  }
}

function outOfStep({ problems }: ObservedDomain): ErrorData[] {
  return problems.filter((problem) => problem.code === 'HYPERVISOR_OUT_OF_STEP');
}
