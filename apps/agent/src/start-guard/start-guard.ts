/**
 * The start guard's files, `<stateDir>/hook/`: what the libvirt hook reads to refuse a start that would destroy data.
 * Owns when they are written; never stops an operation: a file that cannot be written is logged, and a guard that does not
 * know allows the start. Files:
 *   <vm uuid>             layers from which the VM must not start, by the looks of this host (guard-record.ts)
 *   <vm uuid>.elsewhere   the same, by what the manager told of the VM while it was on another host (guard-elsewhere.ts)
 *   <vm uuid>.switching   while an operation is between two states of the VM's definition: its id, then a sentence why
 *
 * A record outlives the VM's definition and the agent, so that a stale definition that comes back is still known.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../logging/log.js';
import { makeStateDirectory, writeDurably } from '../operations/durable-file.js';
import type { TargetFiles } from '../secondary/target-files.js';
import { knownRight, pairsElsewhere, type VmElsewhere } from './guard-elsewhere.js';
import { GuardFiles } from './guard-files.js';
import { doubted, recordAfter, recordWithRight, sameRecord, type GuardRecord } from './guard-record.js';

const SWITCHING = '.switching';
const ELSEWHERE = '.elsewhere';

/** An operation that is about to be between two states of a VM's definition. */
export interface Switch {
  readonly vmUuid: string;
  readonly vmName: string;
  readonly operationId: string;
  /** As in "it is …": `being restored`. */
  readonly doing: string;
}

/** What commands may ask of the guard. */
export interface StartBarrier {
  /** Does the work while every start of the VM is refused. A death in between leaves the VM refused until the operation ends. */
  whileSwitching<T>(wish: Switch, work: () => Promise<T>): Promise<T>;
}

export class StartGuard implements StartBarrier {
  private readonly guardFiles: GuardFiles;
  private readonly work = new Map<string, Promise<void>>();
  private readonly looks = new Map<string, { readonly domain: ObservedDomain; readonly since: number }>();
  /** Moments are counted, not timed: VM → moment of the last change that we made ourselves. */
  private readonly changes = new Map<string, number>();
  /** VM → moment, and newest fencing token, of what was told of it. */
  private readonly told = new Map<string, { readonly moment: number; readonly fencingToken: bigint }>();
  private moment = 0;
  private fullLooks = 0;

  constructor(
    private readonly options: {
      /** `<stateDir>/hook`. */
      readonly dir: string;
      readonly files: Pick<TargetFiles, 'stat'>;
      readonly log: Log;
    },
  ) {
    this.guardFiles = new GuardFiles(options.dir);
  }

  /** Once, at the start: marks of operations that are not going on any more are gone afterwards. */
  async recover(unfinishedOperationIds: readonly string[]): Promise<void> {
    await makeStateDirectory(this.options.dir);
    for (const name of await readdir(this.options.dir)) {
      if (!name.endsWith(SWITCHING)) continue;
      const [operationId = ''] = (await readFile(join(this.options.dir, name), 'utf8')).split('\n');
      if (!unfinishedOperationIds.includes(operationId)) await this.guardFiles.remove(name);
    }
  }

  async whileSwitching<T>(wish: Switch, work: () => Promise<T>): Promise<T> {
    const name = `${wish.vmUuid}${SWITCHING}`;
    const why =
      `VM ${wish.vmName} is ${wish.doing} (operation ${wish.operationId}): its definition is between two states. ` +
      'Start it when the operation has ended; it goes on while the agent runs (systemctl status holdfast-agent).';
    await this.tolerantly(() => writeDurably(join(this.options.dir, name), `${wish.operationId}\n${why}\n`));
    try {
      return await work();
    } finally {
      await this.tolerantly(() => this.guardFiles.remove(name));
    }
  }

  /** The operation has ended, however that came about: its VM may start. */
  async operationEnded(operationId: string): Promise<void> {
    await this.tolerantly(async () => {
      for (const name of await readdir(this.options.dir)) {
        if (!name.endsWith(SWITCHING)) continue;
        const text = await readFile(join(this.options.dir, name), 'utf8');
        if (text.startsWith(`${operationId}\n`)) await this.guardFiles.remove(name);
      }
    });
  }

  /** Before a look: give it to `saw` with what was seen, so that a look that an own change overtook is not believed. */
  now(): number {
    return this.moment;
  }

  /** A VM was seen by a look that began at the given moment. Written in the background; of many looks the newest counts. */
  saw(domain: ObservedDomain, since: number): void {
    const waiting = this.looks.has(domain.uuid);
    this.looks.set(domain.uuid, { domain, since });
    if (!waiting) void this.inTurn(domain.uuid, () => this.takeIn(domain.uuid));
  }

  /** All VMs were seen by one look. */
  sawAll(domains: readonly ObservedDomain[], since: number): void {
    this.fullLooks += 1;
    for (const domain of domains) this.saw(domain, since);
  }

  /** How often all VMs have been seen in this life. */
  get timesSeenAll(): number {
    return this.fullLooks;
  }

  /** Holdfast is about to point the VM at these files: they are right from now on. */
  async pointing(vmUuid: string, sources: Iterable<string>): Promise<void> {
    await this.inTurn(vmUuid, async () => {
      await this.guardFiles.write(vmUuid, [...recordWithRight(await this.record(vmUuid), sources)]);
      await this.guardFiles.write(vmUuid + ELSEWHERE, []);
    });
  }

  /**
   * The manager tells of VMs that are on other hosts. It holds until this host sees such a VM run here, or Holdfast points it
   * somewhere here. What comes too late, after something newer, is not believed.
   */
  async elsewhere(vms: readonly VmElsewhere[]): Promise<void> {
    for (const { vmUuid, fencingToken, volumes } of vms) {
      if (fencingToken < (this.told.get(vmUuid)?.fencingToken ?? 0n)) continue;
      this.moment += 1;
      this.told.set(vmUuid, { moment: this.moment, fencingToken });
      await this.inTurn(vmUuid, async () => {
        const name = vmUuid + ELSEWHERE;
        const before = await this.guardFiles.read(name);
        // A storage that cannot be asked takes nothing back.
        const exists = (path: string): Promise<boolean> => this.exists(path).catch(() => true);
        await this.guardFiles.write(name, await pairsElsewhere(before, volumes, exists));
        const own = recordWithRight(await this.record(vmUuid), knownRight(volumes));
        await this.guardFiles.write(vmUuid, [...own]);
      });
    }
  }

  /** Holdfast changed the VM's chains: what was looked at before says nothing any more. */
  changed(vmUuid: string): void {
    this.moment += 1;
    this.changes.set(vmUuid, this.moment);
  }

  /** Awaits what is being written. */
  async settled(): Promise<void> {
    await Promise.all(this.work.values());
  }

  private async takeIn(vmUuid: string): Promise<void> {
    const look = this.looks.get(vmUuid);
    this.looks.delete(vmUuid);
    if (look === undefined || (this.changes.get(vmUuid) ?? 0) > look.since) return;
    let before = await this.record(vmUuid);
    for (const stale of doubted(before, look.domain)) {
      if (!(await this.exists(before.get(stale) ?? ''))) before = recordWithRight(before, [stale]);
    }
    const after = recordAfter(before, look.domain);
    if (!sameRecord(after, await this.record(vmUuid)))
      await this.guardFiles.write(vmUuid, [...(await this.withoutLost(after, look.domain))]);
    const overtaken = (this.told.get(vmUuid)?.moment ?? 0) > look.since;
    // What runs here is no longer elsewhere, and its own looks know all that lies below it.
    if (look.domain.state === 'running' && !overtaken) await this.guardFiles.write(vmUuid + ELSEWHERE, []);
  }

  /** A pair of which one file is gone means nothing to the hook and would stay for ever. */
  private async withoutLost(record: GuardRecord, domain: ObservedDomain): Promise<GuardRecord> {
    const seen = new Set(domain.disks.flatMap((disk) => disk.layers.map((layer) => layer.path)));
    const kept = new Map<string, string>();
    for (const [stale, right] of record) {
      const there = await Promise.all([stale, right].map(async (path) => seen.has(path) || this.exists(path)));
      if (there.every(Boolean)) kept.set(stale, right);
    }
    return kept;
  }

  private async exists(path: string): Promise<boolean> {
    return (await this.options.files.stat(path)) !== undefined;
  }

  private async record(vmUuid: string): Promise<GuardRecord> {
    return new Map(await this.guardFiles.read(vmUuid));
  }

  /** One after the other for each VM. */
  private inTurn(vmUuid: string, work: () => Promise<void>): Promise<void> {
    const done = (this.work.get(vmUuid) ?? Promise.resolve()).then(() => this.tolerantly(work));
    this.work.set(vmUuid, done);
    return done.finally(() => {
      if (this.work.get(vmUuid) === done) this.work.delete(vmUuid);
    });
  }

  private async tolerantly(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      this.options.log.warn('The start guard could not be brought up to date', { code: error.code, reason: error.message });
    }
  }
}
