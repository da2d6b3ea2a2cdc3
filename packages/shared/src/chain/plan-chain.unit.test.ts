import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { chainOf, type LayerTree } from './layer-tree.js';
import { planChain, stepsOf, type ChainStep, type ChainWish, type Removal } from './plan-chain.js';

/** A volume in miniature: files of clusters, each with the file that backs it, and where our snapshots are. */
class Disk {
  readonly files = new Map<string, { clusters: Map<number, string>; backing: string | undefined }>();
  readonly pins = new Map<string, string>();
  active: string;

  constructor(
    tree: LayerTree,
    contents: readonly ReadonlyMap<number, string>[],
    readonly foreignPins: ReadonlySet<string>,
  ) {
    [...tree.parents].forEach(([path, backing], index) => {
      this.files.set(path, { clusters: new Map(contents[index % contents.length]), backing });
    });
    for (const [path, ids] of tree.pins) for (const id of ids) this.pins.set(id, path);
    this.active = tree.active;
  }

  file(path: string) {
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
    const pins = new Map<string, string[]>();
    for (const [id, path] of this.pins) pins.set(path, [...(pins.get(path) ?? []), id].sort());
    const parents = new Map([...this.files].map(([path, { backing }]) => [path, backing]));
    return { parents, active: this.active, pins, foreignPins: this.foreignPins };
  }

  /** What the tools do, in all the moments in which they can die. `look` after each. */
  act(step: ChainStep, look: () => void): void {
    if (step.kind === 'repoint') this.file(step.path).backing = step.into;
    if (step.kind === 'commit') {
      const { clusters, backing } = this.file(step.path);
      expect(backing).toBe(step.into);
      for (const [cluster, value] of clusters) {
        this.file(step.into).clusters.set(cluster, value);
        look();
      }
      const chain = chainOf(this.tree(), this.active);
      const place = chain.indexOf(step.path);
      if (place === 0) this.active = step.into;
      if (place > 0) this.file(chain[place - 1] as string).backing = step.into;
    }
    if (step.kind === 'delete') {
      expect([...this.files.values()].some(({ backing }) => backing === step.path)).toBe(false);
      expect(this.active).not.toBe(step.path);
      for (const [id, path] of this.pins) {
        if (path !== step.path) continue;
        if (step.movesPinsTo === undefined) throw new Error(`the layer of snapshot ${id} is deleted`);
        this.pins.set(id, step.movesPinsTo);
      }
      this.files.delete(step.path);
    }
    look();
  }
}

const layerName = (index: number) => `/pool/layer-${index}`;

/** Trees with branches, snapshots of both kinds, templates, odd active layers, and now and then a second bottom. */
const volumes = fc.integer({ min: 1, max: 9 }).chain((count) => {
  const each = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: count, maxLength: count });
  return fc
    .record({
      below: each(fc.nat()),
      straight: each(fc.boolean()),
      secondBottom: fc.nat({ max: 20 }),
      active: fc.nat(),
      oddActive: fc.nat({ max: 9 }),
      pinned: each(fc.nat({ max: 5 })),
      foreign: each(fc.nat({ max: 8 })),
      removable: each(fc.nat({ max: 4 })),
      shared: fc.array(fc.nat(), { maxLength: 1 }),
      contents: each(
        fc
          .array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.string({ maxLength: 2 })), { maxLength: 5 })
          .map((pairs) => new Map(pairs)),
      ),
    })
    .map((raw) => {
      const parents = new Map<string, string | undefined>();
      for (let index = 0; index < count; index += 1) {
        const bottom = index === 0 || index === raw.secondBottom;
        const below = raw.straight[index] ? index - 1 : (raw.below[index] ?? 0) % Math.max(1, index);
        parents.set(layerName(index), bottom ? undefined : layerName(below));
      }
      const paths = [...parents.keys()];
      const leaves = paths.filter((path) => ![...parents.values()].includes(path));
      const among = raw.oddActive === 0 ? paths : leaves;
      const active = among[raw.active % among.length] as string;
      const pins = new Map(
        paths
          .map((path, index): [string, string[]] => [path, raw.pinned[index] === 0 ? [`s${index}`] : []])
          .filter(([path, ids]) => ids.length > 0 && path !== active),
      );
      const tree: LayerTree = {
        parents,
        active,
        pins,
        foreignPins: new Set(paths.filter((path, index) => raw.foreign[index] === 0 && path !== active)),
      };
      const wish: ChainWish = {
        tree,
        // A bottom is never a delta.
        removable: new Set(paths.filter((path, index) => (raw.removable[index] ?? 0) > 0 && parents.get(path) !== undefined)),
        untouchable: new Set(raw.shared.flatMap((index) => chainOf(tree, layerName(index % count)))),
      };
      return { wish, contents: raw.contents };
    });
});

const finalTree = (tree: LayerTree) => ({
  parents: [...tree.parents].sort(([a], [b]) => (a < b ? -1 : 1)),
  active: tree.active,
  pins: [...tree.pins].map(([path, ids]) => [path, [...ids].sort()] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
});

function same(what: string, is: string, was: string | undefined): void {
  if (is !== was) throw new Error(`${what} shows ${is}, and showed ${was}`);
}

/** Carries a plan out, looking at every moment that everything that must stay shows what it showed. Stops after `most` moments. */
function carryOut(disk: Disk, wish: ChainWish, removals: readonly Removal[], most = Infinity): ReadonlySet<string> {
  const shown = new Map([...disk.files.keys()].map((path) => [path, disk.view(path)]));
  const raw = new Map([...wish.untouchable].map((path) => [path, JSON.stringify([...disk.file(path).clusters])]));
  const snapshots = new Map([...disk.pins].map(([id, path]) => [id, disk.view(path)]));
  const guest = disk.view(disk.active);
  const committed = new Set<string>();
  let moments = 0;
  class Death extends Error {}
  try {
    for (const removal of removals) {
      const changing = removal.kind === 'merge' && removal.commit ? removal.into : undefined;
      const look = () => {
        same('the guest', disk.view(disk.active), guest);
        for (const [id, path] of disk.pins) same(`snapshot ${id}`, disk.view(path), snapshots.get(id));
        for (const path of disk.files.keys()) if (path !== changing) same(path, disk.view(path), shown.get(path));
        for (const [path, content] of raw) same(`the file ${path}`, JSON.stringify([...disk.file(path).clusters]), content);
        moments += 1;
        if (moments >= most) throw new Death();
      };
      const before = disk.view(removal.path);
      for (const step of stepsOf(removal)) {
        if (step.kind === 'repoint') committed.add(removal.path);
        disk.act(step, () => {
          // As the journal, or a comparison of contents, tells after the death.
          if (step.kind === 'commit' && disk.view(step.into) === before) committed.add(step.path);
          if (step.kind === 'delete') committed.delete(step.path);
          look();
        });
      }
      if (changing !== undefined) shown.set(changing, before);
    }
  } catch (thrown) {
    if (!(thrown instanceof Death)) throw thrown;
  }
  return committed;
}

describe('planChain', () => {
  it('changes nothing that the guest, a snapshot or a layer that stays shows, at no moment of any plan', () => {
    fc.assert(
      fc.property(volumes, ({ wish, contents }) => {
        const disk = new Disk(wish.tree, contents, wish.tree.foreignPins);
        const plan = planChain(wish);
        carryOut(disk, wish, plan.removals);
        expect(finalTree(disk.tree())).toEqual(finalTree(plan.after));
        for (const path of wish.tree.parents.keys()) {
          if (!wish.removable.has(path) || wish.untouchable.has(path) || wish.tree.foreignPins.has(path)) {
            expect(disk.files.has(path)).toBe(true);
          }
        }
        for (const [path, reason] of plan.staying)
          expect([path, disk.files.has(path), reason === '']).toEqual([path, true, false]);
        for (const path of wish.removable) expect(disk.files.has(path)).toBe(plan.staying.has(path));
        expect(planChain({ ...wish, tree: disk.tree() }).removals).toEqual([]);
      }),
      { numRuns: 1_500 },
    );
  });

  it('ends in the same tree when it is planned again after a death at any moment', () => {
    fc.assert(
      fc.property(volumes, fc.nat({ max: 40 }), ({ wish, contents }, moment) => {
        const disk = new Disk(wish.tree, contents, wish.tree.foreignPins);
        const first = planChain(wish);
        const committed = carryOut(disk, wish, first.removals, moment);
        const again: ChainWish = { ...wish, tree: disk.tree(), committed };
        carryOut(disk, again, planChain(again).removals);
        expect(finalTree(disk.tree())).toEqual(finalTree(first.after));
      }),
      { numRuns: 1_500 },
    );
  });

  it('harms nothing when it is planned again without knowing what was committed', () => {
    fc.assert(
      fc.property(volumes, fc.nat({ max: 40 }), ({ wish, contents }, moment) => {
        const disk = new Disk(wish.tree, contents, wish.tree.foreignPins);
        carryOut(disk, wish, planChain(wish).removals, moment);
        const again: ChainWish = { ...wish, tree: disk.tree() };
        carryOut(disk, again, planChain(again).removals);
      }),
      { numRuns: 1_000 },
    );
  });

  const tree = (
    lines: readonly string[],
    active: string,
    pins: Record<string, string[]> = {},
    foreign: string[] = [],
  ): LayerTree => ({
    parents: new Map(
      lines.flatMap((line, number) => {
        const chain = line.split(' ');
        // A further line begins with the layer that it branches off from.
        return chain.map((path, index): [string, string | undefined] => [path, chain[index - 1]]).slice(number === 0 ? 0 : 1);
      }),
    ),
    active,
    pins: new Map(Object.entries(pins)),
    foreignPins: new Set(foreign),
  });
  const lines = (after: LayerTree) =>
    [...after.parents].map(([path, parent]) => (parent === undefined ? path : `${parent} ${path}`)).sort();

  it.each<[string, LayerTree, string[], string[], Record<string, string[]>]>([
    ['at rest a parent delta goes down', tree(['vol d1 d2'], 'd2'), ['d1'], ['vol', 'vol d2'], {}],
    ['its snapshot goes with it', tree(['vol d1 x d2'], 'd2', { d1: ['S1'] }), ['d1'], ['vol', 'vol x', 'x d2'], { vol: ['S1'] }],
    ['a delta on a snapshot stays', tree(['vol d1'], 'd1', { vol: ['S0'] }), ['d1'], ['vol', 'vol d1'], { vol: ['S0'] }],
    ['a delta of virsh stays', tree(['vol d1 x'], 'x', {}, ['d1']), ['d1'], ['vol', 'vol d1', 'd1 x'], {}],
    [
      'both branches follow their layer down',
      tree(['vol d1 x', 'd1 r'], 'r', { d1: ['S1'], x: ['S2'] }),
      ['d1'],
      ['vol', 'vol r', 'vol x'],
      { vol: ['S1'], x: ['S2'] },
    ],
    ['a dead branch goes from its tip', tree(['vol d1 x y', 'd1 r'], 'r'), ['x', 'y', 'd1'], ['vol', 'vol r'], {}],
    [
      'two branches on one layer stay',
      tree(['vol a', 'vol b'], 'b', { a: ['S'] }),
      ['a', 'b'],
      ['vol', 'vol a', 'vol b'],
      { a: ['S'] },
    ],
  ])('%s', (_case, input, removable, wanted, pins) => {
    const { after } = planChain({ tree: input, removable: new Set(removable), untouchable: new Set() });
    expect(lines(after)).toEqual([...wanted].sort());
    expect(Object.fromEntries([...after.pins].filter(([, ids]) => ids.length > 0))).toEqual(pins);
  });

  it('says where a layer lies and which layers are repointed', () => {
    const { removals, staying } = planChain({
      tree: tree(['T vol d1 x d2', 'd1 r'], 'd2', { d1: ['S1'], r: ['S2'], x: ['S3'] }),
      removable: new Set(['d1', 'd2', 'gone']),
      untouchable: new Set(['T']),
    });
    expect(removals).toEqual([
      { kind: 'merge', path: 'd1', into: 'vol', commit: true, place: 'chain', branches: ['r'], pins: ['S1'] },
    ]);
    expect([...staying]).toEqual([['d2', expect.stringContaining('x')]]);
  });

  it('leaves a layer in use alone while something lies on it', () => {
    const wish = { tree: tree(['vol d1 x'], 'd1', { x: ['S1'] }), removable: new Set(['d1']), untouchable: new Set<string>() };
    expect(planChain(wish).removals).toEqual([]);
  });

  it('never writes to the template', () => {
    const wish = { tree: tree(['T d1'], 'd1'), removable: new Set(['d1']), untouchable: new Set(['T']) };
    expect(planChain(wish).removals).toEqual([]);
  });

  it.each<[string, LayerTree]>([
    ['a delta in use has nothing under it', tree(['d1'], 'd1')],
    ['a delta with a child has nothing under it', tree(['d1 x'], 'x')],
    [
      'the layers go round',
      {
        ...tree(['vol d1'], 'd1'),
        parents: new Map([
          ['d1', 'vol'],
          ['vol', 'd1'],
        ]),
      },
    ],
    ['the active layer is unknown', tree(['vol d1'], 'other')],
    ['a parent is unknown', { ...tree([], 'd1'), parents: new Map([['d1', 'vol']]) }],
    ['a snapshot is of an unknown layer', tree(['vol d1'], 'd1', { lost: ['S1'] })],
  ])('refuses when %s', (_case, input) => {
    expect(() => planChain({ tree: input, removable: new Set(['d1']), untouchable: new Set() })).toThrow(
      expect.objectContaining({ code: 'CHAIN_UNEXPLAINED' }) as unknown as Error,
    );
  });
});
