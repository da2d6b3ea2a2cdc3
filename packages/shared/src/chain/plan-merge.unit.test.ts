import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { classifyChain } from './classify-chain.js';
import { planMerge, type MergeStep, type MergeWish } from './plan-merge.js';

/** A disk in miniature: files of clusters, each with the file that backs it. */
class Disk {
  readonly files = new Map<string, { clusters: Map<number, string>; backing: string | undefined }>();

  constructor(
    paths: readonly string[],
    contents: readonly ReadonlyMap<number, string>[],
    public active: string,
  ) {
    paths.forEach((path, index) => {
      this.files.set(path, { clusters: new Map(contents[index]), backing: paths[index + 1] });
    });
  }

  view(path: string): string {
    const seen = new Map<number, string>();
    for (let next: string | undefined = path; next !== undefined; next = this.file(next).backing) {
      for (const [cluster, value] of this.file(next).clusters) if (!seen.has(cluster)) seen.set(cluster, value);
    }
    return JSON.stringify([...seen].sort(([a], [b]) => a - b));
  }

  chain(): string[] {
    const chain: string[] = [];
    for (let next: string | undefined = this.active; next !== undefined; next = this.file(next).backing) chain.push(next);
    return chain;
  }

  /** What qemu-img commit does, and QEMU's block commit: may be done twice. */
  commit(step: MergeStep): void {
    const top = this.file(step.top);
    expect(top.backing).toBe(step.base);
    for (const [cluster, value] of top.clusters) this.file(step.base).clusters.set(cluster, value);
  }

  repoint(step: MergeStep): void {
    if (step.active) this.active = step.base;
    else this.file(step.childOfTop as string).backing = step.base;
  }

  private file(path: string) {
    const file = this.files.get(path);
    if (file === undefined) throw new Error(`no file ${path}`);
    return file;
  }
}

const disks = fc.integer({ min: 1, max: 7 }).chain((layers) =>
  fc.record({
    paths: fc.constant(Array.from({ length: layers }, (_unused, index) => `/pool/layer-${index}`)),
    contents: fc.array(
      fc
        .array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.string({ maxLength: 2 })), { maxLength: 5 })
        .map((pairs) => new Map(pairs)),
      { minLength: layers, maxLength: layers },
    ),
    // The bottom layer is the volume itself and never a delta.
    merge: fc.subarray(Array.from({ length: Math.max(0, layers - 1) }, (_unused, index) => `/pool/layer-${index}`)),
    running: fc.boolean(),
  }),
);

const wish = (paths: readonly string[], merge: readonly string[], extra: Partial<MergeWish> = {}): MergeWish => ({
  layers: paths.map((path) => ({ path })),
  mergePaths: new Set(merge),
  running: false,
  ...extra,
});

describe('planMerge', () => {
  it('never changes what the guest sees nor what a remaining layer shows, at no moment of the plan', () => {
    fc.assert(
      fc.property(disks, ({ paths, contents, merge, running }) => {
        const disk = new Disk(paths, contents, paths[0] as string);
        const shown = new Map(paths.map((path) => [path, disk.view(path)]));
        const guest = disk.view(disk.active);
        const { steps, alreadyMerged } = planMerge(wish(paths, merge, { running }));
        expect(alreadyMerged).toEqual([]);
        for (const step of steps) {
          // Everything in the line except the file merged into shows what it showed; that one shows what the delta showed.
          const merged = disk.view(step.top);
          const above = disk.chain().slice(0, disk.chain().indexOf(step.base));
          disk.commit(step);
          expect(disk.view(disk.active)).toBe(guest);
          for (const path of above) expect(disk.view(path)).toBe(shown.get(path));
          disk.repoint(step);
          expect(disk.view(disk.active)).toBe(guest);
          expect(disk.view(step.base)).toBe(merged);
          shown.set(step.base, merged);
          for (const path of disk.chain()) expect(disk.view(path)).toBe(shown.get(path));
          expect(disk.chain()).toEqual(step.layersAfter);
        }
        expect(disk.chain()).toEqual(paths.filter((path) => !merge.includes(path)));
      }),
    );
  });

  it('plans the rest after a death between or inside steps, and reports what is merged already', () => {
    fc.assert(
      fc.property(disks, fc.nat(), fc.boolean(), ({ paths, contents, merge, running }, cut, halfDone) => {
        const disk = new Disk(paths, contents, paths[0] as string);
        const guest = disk.view(disk.active);
        const first = planMerge(wish(paths, merge, { running })).steps;
        const done = first.length === 0 ? 0 : cut % (first.length + 1);
        for (const step of first.slice(0, done)) {
          disk.commit(step);
          disk.repoint(step);
        }
        const next = first[done];
        if (halfDone && next !== undefined) disk.commit(next);
        const second = planMerge(wish(disk.chain(), merge, { running }));
        expect(second.steps).toEqual(first.slice(done));
        expect([...second.alreadyMerged].sort()).toEqual(
          first
            .slice(0, done)
            .map((step) => step.top)
            .sort(),
        );
        for (const step of second.steps) {
          disk.commit(step);
          disk.repoint(step);
        }
        expect(disk.view(disk.active)).toBe(guest);
        expect(disk.chain()).toEqual(paths.filter((path) => !merge.includes(path)));
      }),
    );
  });

  it('goes from the bottom up and says who is above, and which merge is the active one', () => {
    const { steps } = planMerge(wish(['d2', 'x', 'd1', 'vol', 'T'], ['d2', 'd1'], { running: true, templatePath: 'T' }));
    expect(steps).toEqual([
      {
        kind: 'commit',
        top: 'd1',
        base: 'vol',
        active: false,
        childOfTop: 'x',
        running: true,
        layersAfter: ['d2', 'x', 'vol', 'T'],
      },
      {
        kind: 'commit',
        top: 'd2',
        base: 'x',
        active: true,
        childOfTop: undefined,
        running: true,
        layersAfter: ['x', 'vol', 'T'],
      },
    ]);
  });

  it.each([
    ['a delta has nothing under it', wish(['d1'], ['d1'])],
    ['a delta lies on the template', wish(['d1', 'T', 'T0'], ['d1'], { templatePath: 'T' })],
    ['a delta lies below the template', wish(['d1', 'T', 'd0', 'T0'], ['d0'], { templatePath: 'T' })],
    ['a path is in the chain twice', wish(['d1', 'vol', 'd1'], ['d1'])],
  ])('refuses when %s', (_case, input) => {
    expect(() => planMerge(input)).toThrow(expect.objectContaining({ code: 'CHAIN_UNEXPLAINED' }) as unknown as Error);
  });
});

describe('classifyChain', () => {
  const expected = { before: ['d1', 'vol', 'T'], newDelta: 'd2', deltas: ['d1'] };
  it.each<[string, string[], Parameters<typeof classifyChain>[1], ReturnType<typeof classifyChain>['kind']]>([
    ['nothing happened', ['d1', 'vol', 'T'], expected, 'as-before'],
    ['everything happened', ['d2', 'vol', 'T'], expected, 'as-after'],
    ['frozen, not merged', ['d2', 'd1', 'vol', 'T'], expected, 'mergeable'],
    ['a snapshot taken since', ['s', 'd2', 'd1', 'vol', 'T'], expected, 'mergeable'],
    ['a snapshot taken before the freeze', ['d2', 's', 'd1', 'vol', 'T'], expected, 'mergeable'],
    ['a snapshot taken, freeze never done', ['s', 'd1', 'vol', 'T'], expected, 'mergeable'],
    ['snapshot after the merge', ['s', 'd2', 'vol', 'T'], expected, 'mergeable'],
    ['the volume lost', ['d2', 'd1', 'T'], expected, 'unexplained'],
    ['the template lost', ['d2', 'd1', 'vol'], expected, 'unexplained'],
    ['new delta merged by somebody', ['vol', 'T'], expected, 'unexplained'],
    ['another order', ['d1', 'd2', 'vol', 'T'], expected, 'unexplained'],
    ['a stranger in the middle', ['d2', 'd1', 's', 'vol', 'T'], expected, 'unexplained'],
    ['another disk altogether', ['other'], expected, 'unexplained'],
    ['nothing observed', [], expected, 'unexplained'],
    ['a layer twice', ['d2', 'd1', 'vol', 'vol', 'T'], expected, 'unexplained'],
    ['a delta of ours that was not there', ['d0', 'd2', 'd1', 'vol', 'T'], { ...expected, deltas: ['d1', 'd0'] }, 'unexplained'],
    ['end of chain', ['vol', 'T'], { ...expected, deltas: ['d1', 'd2'] }, 'as-after'],
    ['end of chain, half way', ['d2', 'vol', 'T'], { ...expected, deltas: ['d1', 'd2'] }, 'mergeable'],
    ['isolated', ['d1', 'vol', 'T'], { ...expected, deltas: ['d2'] }, 'as-before'],
    ['isolated, not merged', ['d2', 'd1', 'vol', 'T'], { ...expected, deltas: ['d2'] }, 'mergeable'],
    ['finish without a freeze', ['vol', 'T'], { before: ['d1', 'vol', 'T'], newDelta: undefined, deltas: ['d1'] }, 'as-after'],
  ])('%s', (_case, observed, wanted, kind) => {
    const verdict = classifyChain(observed, wanted);
    expect(verdict.kind).toBe(kind);
    expect(verdict.reason).not.toBe('');
  });

  it('calls every moment of a planned merge as before, mergeable or as after, whatever snapshots are on top', () => {
    fc.assert(
      fc.property(disks, fc.nat(), fc.integer({ min: 0, max: 2 }), ({ paths, merge }, cut, snapshots) => {
        const foreign = Array.from({ length: snapshots }, (_unused, index) => `/pool/snapshot-${index}`);
        const [newDelta, ...before] = ['/pool/new', ...paths];
        const { steps } = planMerge(wish([...foreign, newDelta as string, ...before], merge));
        const step = steps[steps.length === 0 ? 0 : cut % steps.length];
        const observed = step?.layersAfter ?? [...foreign, newDelta as string, ...before];
        const verdict = classifyChain(observed, { before, newDelta, deltas: merge });
        expect(['mergeable', 'as-after']).toContain(verdict.kind);
        expect(verdict.foreign).toEqual(foreign);
        expect(verdict.deltasLeft).toEqual(observed.filter((path) => merge.includes(path)));
      }),
    );
  });
});
