/** The measurement itself: who does what in which order. Owns the folder that it is given and both systems; leaves nothing. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removePiece } from '../testbed/cleanup.js';
import { livingOwner, markOwner, prepareRunRoot } from '../testbed/work-dir.js';
import { Floor } from './floor.js';
import { longestGap, startWriting } from './guest-writer.js';
import { Holdfast, type StepSeconds } from './holdfast.js';
import { memoryUse, peakMemory, type MemoryUse } from './memory.js';
import { makeMixedDisk } from './mixed-disk.js';
import { copyMiB, type BenchOptions } from './options.js';
import { Peer } from './peer.js';
import type { Case } from './report.js';
import { timed } from './stopwatch.js';

export interface Measured {
  readonly cases: readonly Case[];
  /** Seconds until the operation of a backup had ended. */
  readonly ended: { readonly full: number[]; readonly incremental: number[] };
  readonly steps: { readonly full: StepSeconds[]; readonly incremental: StepSeconds[]; readonly restore: StepSeconds[] };
  readonly freeze: { readonly reportedMs: number[]; readonly gapMs: number[] };
  readonly memory: Record<'agentIdle' | 'agentBusy' | 'managerIdle' | 'managerBusy', MemoryUse>;
  readonly peerVersion: string;
}

type Say = (line: string) => void;

/** Everything, in about `runs` + 2 minutes. `folder`: a run folder of the test bed for the data and the floor. */
export async function measure(options: BenchOptions, folder: string, say: Say): Promise<Measured> {
  await prepareRunRoot();
  const owner = await livingOwner(folder);
  if (owner !== undefined && owner !== process.pid)
    throw new Error(`another measurement runs (process ${owner}); wait for its end`);
  await removePiece(folder);
  await mkdir(folder, { recursive: true });
  await markOwner(folder);
  let holdfast: Holdfast | undefined;
  let peer: Peer | undefined;
  try {
    say(`making a disk of ${options.sizeGiB} GiB with ${options.dataGiB} GiB of data`);
    const base = await makeMixedDisk(folder, options.sizeGiB, options.dataGiB);
    say('starting Holdfast and, on a host of its own, the peer');
    holdfast = await Holdfast.start(options, base);
    peer = await Peer.start(options, base);
    await rm(base);
    return await new Measurement(options, holdfast, peer, await Floor.create(join(folder, 'floor')), say).all();
  } catch (error) {
    const logs = (await holdfast?.stack.logs().catch(() => '')) ?? '';
    throw new Error(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${logs}`, { cause: error });
  } finally {
    await holdfast?.destroy();
    await peer?.destroy();
    await removePiece(folder);
  }
}

class Measurement {
  private readonly full: Case = { name: 'full', floor: [], holdfast: [], peer: [] };
  private readonly incremental: Case = { name: 'incremental', floor: [], holdfast: [], peer: [] };
  private readonly restore: Case = { name: 'restore', floor: [], holdfast: [], peer: [] };
  private readonly ended = { full: [] as number[], incremental: [] as number[] };
  private readonly steps = { full: [] as StepSeconds[], incremental: [] as StepSeconds[], restore: [] as StepSeconds[] };
  private readonly freeze = { reportedMs: [] as number[], gapMs: [] as number[] };

  constructor(
    private readonly options: BenchOptions,
    private readonly holdfast: Holdfast,
    private readonly peer: Peer,
    private readonly floor: Floor,
    private readonly say: Say,
  ) {}

  async all(): Promise<Measured> {
    for (let run = 0; run <= this.options.runs; run += 1) await this.run(run);
    const memory = await this.freezeAndMemory();
    const { ended, steps, freeze } = this;
    return {
      cases: [this.full, this.incremental, this.restore],
      ended,
      steps,
      freeze,
      memory,
      peerVersion: await this.peer.version(),
    };
  }

  /** One run of everything; run 0 only warms up. */
  private async run(run: number): Promise<void> {
    const { holdfast, peer, floor } = this;
    const counts = run > 0;
    const keep = <T>(list: T[], value: T): T => {
      if (counts) list.push(value);
      return value;
    };
    const tell = (one: Case, times: readonly number[]): void =>
      this.say(
        `${counts ? `run ${run} of ${this.options.runs}` : 'warm-up'}: ${one.name}: floor, Holdfast, peer: ${times.map((time) => `${time.toFixed(2)} s`).join(', ')}`,
      );

    const disk = await holdfast.diskFiles();
    const fullFloor = keep(this.full.floor, await this.timed(disk, () => floor.full(disk[0] ?? '')));
    const first = await holdfast.backup('FULL');
    keep(this.full.holdfast, first.publishedSeconds);
    keep(this.ended.full, first.endedSeconds);
    keep(this.steps.full, first.steps);
    tell(this.full, [
      fullFloor,
      first.publishedSeconds,
      keep(this.full.peer, await this.timed(await peer.diskFiles(), () => peer.full())),
    ]);

    const seed = `change ${run}`;
    await Promise.all([holdfast.change(seed), peer.change(seed)]);
    const changed = await holdfast.diskFiles();
    const incrementalFloor = keep(this.incremental.floor, await this.timed(changed, () => floor.incremental(changed[0] ?? '')));
    const second = await holdfast.backup('INCREMENTAL');
    keep(this.incremental.holdfast, second.publishedSeconds);
    keep(this.ended.incremental, second.endedSeconds);
    keep(this.steps.incremental, second.steps);
    tell(this.incremental, [
      incrementalFloor,
      second.publishedSeconds,
      keep(this.incremental.peer, await this.timed(await peer.diskFiles(), () => peer.incremental())),
    ]);
    for (const { backup } of [first, second]) keep(this.freeze.reportedMs, backup.frozenMs ?? 0);

    await Promise.all([holdfast.stopVm(), peer.stopVm()]);
    await floor.clear();
    const chain = holdfast.backupChain(second.backup, first.backup);
    const restoreFloor = keep(this.restore.floor, await this.timed(chain, () => floor.restore(chain)));
    const restored = await holdfast.restore(second.backup, first.backup);
    keep(this.restore.holdfast, restored.seconds);
    keep(this.steps.restore, restored.steps);
    tell(this.restore, [
      restoreFloor,
      restored.seconds,
      keep(this.restore.peer, await this.timed(await peer.backupFiles(), () => peer.restore())),
    ]);
    await floor.clear();
    await Promise.all([holdfast.nextRun(), peer.nextRun()]);
  }

  private timed(inputs: readonly string[], work: () => Promise<unknown>): Promise<number> {
    return timed(inputs, copyMiB(this.options), work);
  }

  /** Backups beside a guest that writes all the time; these are not compared with anything. */
  private async freezeAndMemory(): Promise<Measured['memory']> {
    const { stack, vm } = this.holdfast;
    const agent = (await stack.first.agent.process())?.outerPid;
    const manager = (await stack.manager.process())?.outerPid;
    if (agent === undefined || manager === undefined) throw new Error('agent or manager does not run any more');
    const idle = { agentIdle: await memoryUse(agent), managerIdle: await memoryUse(manager) };
    const backup = this.holdfast.backup('FULL');
    const [agentBusy, managerBusy] = await Promise.all([peakMemory(agent, backup), peakMemory(manager, backup)]);
    await backup;
    for (let run = 0; run < this.options.runs; run += 1) {
      await startWriting(vm);
      await this.holdfast.backup('INCREMENTAL');
      this.freeze.gapMs.push(await longestGap(vm));
    }
    return { ...idle, agentBusy, managerBusy };
  }
}
