import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { chainOf, childrenOf, type LayerTree } from '@holdfast/shared/chain/layer-tree.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { planChain } from '@holdfast/shared/chain/plan-chain.js';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { diskSources } from '../../hypervisor/domain-xml.js';
import { silentLog } from '../../logging/silent-log.js';
import type { RecordedStep, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { MergeVolume } from '../requests.js';
import { NO_CHANGES, pinsAfter, recordedChanges } from './chain-changes.js';
import { mergeDeltas } from './merge-deltas.js';

const VM = '11111111-1111-4111-8111-111111111111';
interface File {
  clusters: Map<number, string>;
  backing: string | undefined;
}

/** A VM with one disk, its files and its tools, in memory. Dies, or begins to fail, at a chosen moment. */
class World {
  readonly files = new Map<string, File>();
  active: string;
  job: { path: string; into: string } | undefined;
  /** Moments until the trouble begins. */
  left = Infinity;
  trouble: 'death' | 'error' = 'death';
  /** What other VMs use; asked again and again. */
  usedByOthers = (): string[] => [];
  problems: ErrorData[] = [];

  constructor(
    tree: LayerTree,
    contents: readonly ReadonlyMap<number, string>[],
    readonly running: boolean,
    private readonly foreign: ReadonlySet<string>,
  ) {
    [...tree.parents].forEach(([path, backing], index) =>
      // With one cluster of its own, no layer shows what another shows, unless it was merged.
      this.files.set(path, { clusters: new Map([...(contents[index % contents.length] ?? []), [9, path]]), backing }),
    );
    this.active = tree.active;
  }

  /** A moment in which everything can stop. */
  moment(): void {
    this.left -= 1;
    if (this.left >= 0) return;
    if (this.trouble === 'death') throw new HoldfastError('BUG', 'the agent died');
    throw new HoldfastError('TOOL_FAILED', 'the storage fails');
  }

  file(path: string): File {
    const file = this.files.get(path);
    if (file === undefined) throw new Error(`no file ${path}`);
    return file;
  }

  view(path: string): string {
    const seen = new Map<number, string>();
    for (let next: string | undefined = path; next !== undefined; next = this.file(next).backing) {
      for (const [cluster, value] of this.file(next).clusters) if (!seen.has(cluster)) seen.set(cluster, value);
    }
    return JSON.stringify([...seen].sort(([a], [b]) => a - b));
  }

  tree(): LayerTree {
    const parents = new Map([...this.files].map(([path, { backing }]) => [path, backing]));
    return { parents, active: this.active, pins: new Map(), foreignPins: new Set() };
  }

  chain(): string[] {
    return chainOf(this.tree(), this.active);
  }

  ports(): CommandPorts {
    const images = {
      info: async (path: string) => {
        const { backing } = this.file(path);
        return { backingName: backing, backingPath: backing, backingFormat: backing === undefined ? undefined : 'qcow2' };
      },
      places: async (paths: readonly string[]) =>
        new Map(paths.filter((path) => this.files.has(path)).map((path) => [path, { identity: path, realPath: path }])),
      isLocked: async () => false,
      equal: async (a: { path: string }, b: { path: string }) => this.view(a.path) === this.view(b.path),
      commit: async (path: string, into: string) => {
        this.refuseOpen(path, into);
        expect(this.file(path).backing).toBe(into);
        this.copy(path, into);
      },
      repoint: async (path: string, backing: { name: string } | undefined) => {
        this.refuseOpen(path);
        this.moment();
        this.file(path).backing = backing?.name;
        this.moment();
      },
    };
    const files = {
      stat: async (path: string) => (this.files.has(path) ? { allocatedBytes: 1n } : undefined),
      sync: async () => this.moment(),
      remove: async (path: string) => {
        this.moment();
        expect(childrenOf(this.tree(), path)).toEqual([]);
        expect(this.active).not.toBe(path);
        this.files.delete(path);
        // A failure leaves the file; only a death can come after it.
        if (this.trouble === 'death') this.moment();
      },
    };
    const hypervisor = {
      observe: async () => this.observed(),
      pathsInUseByOthers: async () => new Set(this.usedByOthers()),
      domainXml: async () =>
        `<domain><devices><disk type='file'><source file='${this.active}'/><target dev='vda'/></disk></devices></domain>`,
      define: async (xml: string) => {
        this.moment();
        if (!this.running) this.active = diskSources(xml).get('vda') ?? '';
        this.moment();
      },
      hasSavedState: async () => false,
      releaseUnusedLayers: async () => undefined,
      suspend: async () => this.moment(),
      startCommit: async (_uuid: string, _target: string, wish: { top: string; base: string; active: boolean }) => {
        this.moment();
        expect(wish.active).toBe(wish.top === this.active);
        this.copy(wish.top, wish.base);
        if (wish.active) this.job = { path: wish.top, into: wish.base };
        else this.file(this.chain()[this.chain().indexOf(wish.top) - 1] as string).backing = wish.base;
        this.moment();
      },
      blockJob: async () => (this.job === undefined ? undefined : { kind: 'active-commit', cur: 1n, end: 1n }),
      pivotTarget: async () => this.job?.into,
      pivot: async () => {
        this.moment();
        this.active = this.job?.into ?? '';
        this.job = undefined;
        this.moment();
      },
    };
    const starts = { whileSwitching: (_wish: unknown, act: () => Promise<void>) => act() };
    const duties = { owe: async () => this.moment(), fulfil: async () => undefined };
    const clock = { now: () => 0, sleep: async () => undefined };
    return { images, files, hypervisor, starts, duties, clock, hostname: 'h' } as unknown as CommandPorts;
  }

  private copy(path: string, into: string): void {
    for (const [cluster, value] of this.file(path).clusters) {
      this.moment();
      this.file(into).clusters.set(cluster, value);
    }
  }

  /** As the image lock does. */
  private refuseOpen(...paths: string[]): void {
    const open = this.running ? this.chain() : [];
    for (const path of paths) expect(open).not.toContain(path);
  }

  private observed(): ObservedDomain {
    const layers = this.chain().map((path) => ({ path, format: 'qcow2', inode: 1n, virtualSizeBytes: 1n, allocatedBytes: 1n }));
    const held = [...this.foreign].map((path) => ({ target: 'vda', pinnedPath: path, pinnedFormat: 'qcow2', overlayPath: '/o' }));
    return {
      ...{ uuid: VM, name: 'vm', state: this.running ? 'running' : 'shut-off', persistent: true, problems: this.problems },
      ...(this.running ? { runId: 'run' } : {}),
      disks: [{ target: 'vda', layers, definedPath: this.active, refusal: undefined }],
      snapshots: [{ name: 'virsh', disks: held }],
    } as unknown as ObservedDomain;
  }
}

/** One operation's journal; a new life of the agent replays it. */
class Journal {
  readonly steps = new Map<string, RecordedStep>();

  life(world: World, rebooted = false): StepContext {
    const seen = new Set<string>();
    const step = async (
      name: string,
      subject: string,
      intent: unknown,
      act: (intent: never, attempt: object) => Promise<unknown>,
    ) => {
      const key = `${name} ${subject}`;
      if (seen.has(key)) throw new Error(`step ${key} is taken twice`);
      seen.add(key);
      const before = this.steps.get(key);
      if (before?.confirmed) return before.result;
      // A journal holds text.
      const kept = before === undefined ? JSON.parse(JSON.stringify(intent)) : before.intent;
      this.steps.set(key, { intent: kept, confirmed: false });
      if (world.trouble === 'death') world.moment();
      const result = JSON.parse(JSON.stringify(await act(kept as never, { repeated: before !== undefined })));
      if (world.trouble === 'death') world.moment();
      this.steps.set(key, { intent: kept, result, confirmed: true });
      return result;
    };
    const recorded = (name: string, subject = '') => this.steps.get(`${name} ${subject}`);
    const silent = { warn: () => undefined, progress: () => undefined, log: silentLog };
    return { step, recorded, rebooted, ...silent } as unknown as StepContext;
  }
}

const layerName = (index: number) => `/pool/layer-${index}`;
const cases = fc.integer({ min: 2, max: 7 }).chain((count) => {
  const each = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: count, maxLength: count });
  return fc.record({
    below: each(fc.nat()),
    straight: each(fc.boolean()),
    active: fc.nat(),
    pinned: each(fc.nat({ max: 3 })),
    foreign: each(fc.nat({ max: 9 })),
    removable: each(fc.nat({ max: 4 })),
    running: fc.boolean(),
    at: fc.nat({ max: 60 }),
    contents: each(
      fc
        .array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.string({ maxLength: 2 })), { maxLength: 4 })
        .map((pairs) => new Map(pairs)),
    ),
  });
});

function build(raw: typeof cases extends fc.Arbitrary<infer T> ? T : never) {
  const parents = new Map<string, string | undefined>();
  raw.below.forEach((below, index) => {
    parents.set(layerName(index), index === 0 ? undefined : layerName(raw.straight[index] ? index - 1 : below % index));
  });
  const paths = [...parents.keys()];
  const leaves = paths.filter((path) => ![...parents.values()].includes(path));
  const active = leaves[raw.active % leaves.length] as string;
  const pins = paths
    .filter((path, index) => raw.pinned[index] === 0 && path !== active)
    .map((path) => ({ snapshotId: `of ${path}`, path }));
  const foreign = new Set(paths.filter((path, index) => raw.foreign[index] === 0 && path !== active));
  const byPath = new Map(pins.map((pin) => [pin.path, [pin.snapshotId]]));
  const tree: LayerTree = { parents, active, pins: byPath, foreignPins: foreign };
  // A file that nothing leads to and that nobody names cannot be seen: what nobody needs is ours to remove.
  const needed = new Set([active, ...byPath.keys(), ...foreign].flatMap((head) => chainOf(tree, head)));
  const removable = paths.filter((path, index) => index > 0 && ((raw.removable[index] ?? 0) > 0 || !needed.has(path)));
  const volume: MergeVolume = { target: 'vda', deltaPaths: [...removable, '/pool/gone'], pins };
  return { tree, volume, world: new World(tree, raw.contents, raw.running, foreign), foreign };
}

/** Everything that must show what it showed: the guest, our snapshots wherever they are now, virsh's. */
function expectKept(
  world: World,
  before: ReadonlyMap<string, string>,
  pins: MergeVolume['pins'],
  start: ReturnType<typeof build>,
): void {
  expect(world.view(world.active)).toBe(before.get(start.tree.active));
  for (const pin of pins) {
    const first = start.volume.pins.find((one) => one.snapshotId === pin.snapshotId)?.path ?? '';
    expect([pin.snapshotId, world.view(pin.path)]).toEqual([pin.snapshotId, before.get(first)]);
  }
  for (const path of start.foreign) expect([path, world.view(path)]).toEqual([path, before.get(path)]);
}

/** A VM with one delta of ours, its active layer. */
function chain(running: boolean): { world: World; volume: MergeVolume } {
  const parents = new Map([
    ['/pool/base', undefined],
    ['/pool/delta', '/pool/base'],
  ]);
  const tree: LayerTree = { parents, active: '/pool/delta', pins: new Map(), foreignPins: new Set() };
  const volume: MergeVolume = { target: 'vda', deltaPaths: ['/pool/delta'], pins: [] };
  return { world: new World(tree, [new Map([[1, 'one']])], running, new Set()), volume };
}

const sorted = (tree: LayerTree) => [...tree.parents].sort(([a], [b]) => (a < b ? -1 : 1));

describe('mergeDeltas', () => {
  it('ends as planned and keeps every content, whenever the agent dies in it', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (raw) => {
        const start = build(raw);
        const { world, volume, tree } = start;
        const before = new Map([...world.files.keys()].map((path) => [path, world.view(path)]));
        const plan = planChain({ tree, removable: new Set(volume.deltaPaths), untouchable: new Set() });
        const journal = new Journal();
        world.left = raw.at;
        await mergeDeltas(world.ports(), journal.life(world), VM, volume, '').catch(() => undefined);
        // What our snapshots show is right at every moment, wherever the journal says that they are.
        const known = recordedChanges(journal.life(world), 'vda', '');
        const there = pinsAfter(volume, known).filter((pin) => world.files.has(pin.path));
        expectKept(world, before, there, start);
        world.left = Infinity;
        const changes = await mergeDeltas(world.ports(), journal.life(world), VM, volume, '');
        expectKept(world, before, pinsAfter(volume, changes), start);
        expect(sorted(world.tree())).toEqual(sorted(plan.after));
        expect(world.active).toBe(plan.after.active);
        expect([...changes.removedPaths].sort()).toEqual(plan.removals.map((removal) => removal.path).sort());
      }),
      { numRuns: 400 },
    );
  });

  it('is finished by another operation after it failed anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (raw) => {
        const start = build(raw);
        const { world, volume, tree } = start;
        const before = new Map([...world.files.keys()].map((path) => [path, world.view(path)]));
        const plan = planChain({ tree, removable: new Set(volume.deltaPaths), untouchable: new Set() });
        const first = new Journal();
        world.trouble = 'error';
        world.left = raw.at;
        await mergeDeltas(world.ports(), first.life(world), VM, volume, '').catch(() => undefined);
        world.left = Infinity;
        const done = recordedChanges(first.life(world), 'vda', '');
        const next = { ...volume, pins: pinsAfter(volume, done) };
        expectKept(world, before, next.pins, start);
        const changes = await mergeDeltas(world.ports(), new Journal().life(world), VM, next, '');
        expectKept(world, before, pinsAfter(next, changes), start);
        expect(sorted(world.tree())).toEqual(sorted(plan.after));
        expect([...done.removedPaths, ...changes.removedPaths].sort()).toEqual(
          plan.removals.map((removal) => removal.path).sort(),
        );
      }),
      { numRuns: 400 },
    );
  });

  it('deletes nothing in another boot of the host, tells what is left, and leaves it to the next operation', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (raw) => {
        const start = build(raw);
        const { world, volume, tree } = start;
        const before = new Map([...world.files.keys()].map((path) => [path, world.view(path)]));
        const plan = planChain({ tree, removable: new Set(volume.deltaPaths), untouchable: new Set() });
        const first = new Journal();
        world.left = raw.at;
        await mergeDeltas(world.ports(), first.life(world), VM, volume, '').catch(() => undefined);
        world.left = Infinity;
        const there = [...world.files.keys()];
        const end = await mergeDeltas(world.ports(), first.life(world, true), VM, volume, '').catch(HoldfastError.from);
        expect([...world.files.keys()]).toEqual(there);
        if (end instanceof HoldfastError) expect(end.code).toBe('PLAN_OUTDATED');
        const done = recordedChanges(first.life(world, true), 'vda', '');
        for (const path of done.removedPaths) expect(there).not.toContain(path);
        for (const path of done.leftPaths) expect(there).toContain(path);
        const next = { ...volume, pins: pinsAfter(volume, done) };
        expectKept(world, before, next.pins, start);
        const changes = await mergeDeltas(world.ports(), new Journal().life(world), VM, next, '');
        expectKept(world, before, pinsAfter(next, changes), start);
        for (const path of done.leftPaths) expect(world.files.has(path)).toBe(false);
        expect(sorted(world.tree())).toEqual(sorted(plan.after));
      }),
      { numRuns: 400 },
    );
  });

  it('keeps a layer that another VM has begun to use since the plan', async () => {
    for (const running of [true, false]) {
      const { world, volume } = chain(running);
      let asked = 0;
      world.usedByOthers = () => ((asked += 1) === 1 ? [] : ['/pool/base']);
      const before = world.view('/pool/base');
      expect(await mergeDeltas(world.ports(), new Journal().life(world), VM, volume, '')).toEqual(NO_CHANGES);
      expect(world.view('/pool/base')).toBe(before);
      expect(world.chain()).toEqual(['/pool/delta', '/pool/base']);
    }
  });

  it('merges nothing any more when the definition has drifted since the plan, and takes back all the same', async () => {
    const drift: ErrorData = { code: 'DEFINITION_DRIFT', message: 'somebody edited it', fields: {} };
    const { world, volume } = chain(true);
    world.usedByOthers = () => {
      world.problems = [drift];
      return [];
    };
    const merged = mergeDeltas(world.ports(), new Journal().life(world), VM, volume, '');
    await expect(merged).rejects.toMatchObject({ code: 'DEFINITION_DRIFT' });
    expect(world.chain()).toEqual(['/pool/delta', '/pool/base']);
    await mergeDeltas(world.ports(), new Journal().life(world), VM, volume, 'undo-');
    expect(world.chain()).toEqual(['/pool/base']);
  });
});
