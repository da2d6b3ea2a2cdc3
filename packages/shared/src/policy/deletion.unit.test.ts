/** What deleting backups means, case by case and as properties over random histories. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { BackupState } from '../api/backups.js';
import { chainEnds, planDeletion, type DeletionBackup, type DeletionFacts, type DeletionPlan } from './deletion.js';

const one = (id: string, parentId: string | null, change: Partial<DeletionBackup> = {}): DeletionBackup => ({
  id,
  name: id,
  state: 'BackedUp',
  parentId,
  storageId: 'S',
  published: true,
  leftovers: false,
  isolated: false,
  endOfChain: false,
  protected: false,
  foreign: false,
  ...change,
});
const chain = (...changes: Partial<DeletionBackup>[]): DeletionBackup[] =>
  ['b1', 'b2', 'b3'].map((id, index) => one(id, index === 0 ? null : `b${index}`, changes[index]));
const plan = (change: Partial<DeletionFacts>): DeletionPlan =>
  planDeletion({ backups: chain(), headBackupId: 'b3', ids: [], forced: false, ...change });
const expunged = ({ expunge }: DeletionPlan): string[] => expunge.flatMap(({ backupIds }) => backupIds);

describe('deleting', () => {
  it('one with living children: it is only taken from sight', () => {
    expect(plan({ ids: ['b1'] })).toEqual({
      remove: ['b1'],
      expunge: [],
      forget: [],
      endOfChain: [],
      mergeHeadDelta: false,
      refusals: [],
    });
  });

  it('the head of an open chain: it goes, the one before is the end, the delta on primary is merged', () => {
    expect(plan({ ids: ['b3'] })).toMatchObject({
      expunge: [{ storageId: 'S', backupIds: ['b3'] }],
      endOfChain: ['b2'],
      mergeHeadDelta: true,
    });
  });

  it('the tail with removed ones above it: all that nobody needs goes, newest first', () => {
    const backups = chain({ state: 'Removed' }, { state: 'Removed' }, { endOfChain: true });
    expect(plan({ backups, headBackupId: null, ids: ['b3'] })).toMatchObject({
      expunge: [{ storageId: 'S', backupIds: ['b3', 'b2', 'b1'] }],
      endOfChain: [],
      mergeHeadDelta: false,
    });
  });

  it('by force: what depends on it goes with it', () => {
    expect(plan({ ids: ['b2'], forced: true })).toMatchObject({
      remove: [],
      expunge: [{ storageId: 'S', backupIds: ['b3', 'b2'] }],
      endOfChain: ['b1'],
      mergeHeadDelta: true,
    });
  });

  it('by force one that is removed already: its children go', () => {
    expect(expunged(plan({ backups: chain({ state: 'Removed' }), ids: ['b1'], forced: true }))).toEqual(['b3', 'b2', 'b1']);
  });

  it('many at once are one plan', () => {
    expect(plan({ ids: ['b3', 'b1', 'b2'] })).toMatchObject({
      remove: [],
      expunge: [{ storageId: 'S', backupIds: ['b3', 'b2', 'b1'] }],
    });
    expect(plan({ ids: ['b1', 'b2'] })).toMatchObject({ remove: ['b1', 'b2'], expunge: [] });
  });

  it('a failed one: its row goes, and leftovers on storage with it; the chain goes on', () => {
    const backups = [...chain(), one('f', 'b3', { state: 'Failed', published: false })];
    expect(plan({ backups, ids: ['f'] })).toMatchObject({ forget: ['f'], expunge: [], endOfChain: [], mergeHeadDelta: false });
    const left = [...chain(), one('f', 'b3', { state: 'Failed', published: false, leftovers: true })];
    expect(plan({ backups: left, ids: ['f'] })).toMatchObject({ forget: [], expunge: [{ backupIds: ['f'] }], endOfChain: [] });
    const stuck = [...chain(), one('f', 'b3', { state: 'DeleteFailed', published: false })];
    expect(plan({ backups: stuck, ids: ['f'] })).toMatchObject({ expunge: [{ backupIds: ['f'] }], endOfChain: [] });
  });

  it('a queued backup on top keeps nothing alive: it is planned anew when its turn comes', () => {
    const backups = [...chain(), one('q', 'b3', { state: 'Queued', published: false })];
    expect(plan({ backups, ids: ['b3'] })).toMatchObject({ expunge: [{ backupIds: ['b3'] }] });
  });

  it('of another chain nothing is touched', () => {
    const backups = [one('x', null, { state: 'DeleteFailed', storageId: 'T' }), ...chain()];
    expect(plan({ backups, ids: ['b3'] }).expunge).toEqual([{ storageId: 'S', backupIds: ['b3'] }]);
  });

  it.each<[string, Partial<DeletionBackup>, string, Record<string, string>]>([
    ['protected', { protected: true }, 'WRONG_STATE', { protected: 'true' }],
    ['restored just now', { busyWith: 'op' }, 'IN_USE', { operationId: 'op' }],
    ['taken just now', { state: 'BackingUp', published: false, busyWith: 'op' }, 'WRONG_STATE', { operationId: 'op' }],
    ['waiting for its turn', { state: 'Queued', published: false, busyWith: 'op' }, 'WRONG_STATE', { operationId: 'op' }],
  ])('one that is %s is refused, and nothing else is done', (_what, change, code, fields) => {
    const refused = plan({ backups: chain({}, {}, change), ids: ['b1', 'b3'] });
    expect(refused).toMatchObject({ remove: [], expunge: [], mergeHeadDelta: false });
    expect(refused.refusals).toMatchObject([{ id: 'b3', error: { code, fields: { backupId: 'b3', ...fields } } }]);
  });

  it('what a forced deletion would take with it is protected: nothing is done', () => {
    const backups = chain({}, {}, { protected: true });
    expect(plan({ backups, ids: ['b1'], forced: true }).refusals.map(({ id }) => id)).toEqual(['b3']);
    expect(plan({ backups, ids: ['b1'] })).toMatchObject({ remove: ['b1'], refusals: [] });
  });

  it('what a forced deletion would take with it belongs to another account: nothing is done', () => {
    const refused = plan({ backups: chain({}, {}, { foreign: true }), ids: ['b1'], forced: true });
    expect(refused).toMatchObject({ expunge: [], refusals: [{ id: 'b3', error: { code: 'FORBIDDEN' } }] });
  });

  it('stopped half way: the newest that lives is the end, whoever was called so before', () => {
    const backups = chain({ endOfChain: true }, {}, { state: 'Expunged' });
    expect([...chainEnds({ backups, ids: ['b2', 'b3'], headBackupId: null })]).toEqual([
      ['b1', false],
      ['b2', true],
    ]);
    expect([...chainEnds({ backups, ids: ['b2'], headBackupId: 'b2' })]).toEqual([
      ['b1', false],
      ['b2', false],
    ]);
    expect([...chainEnds({ backups: [one('i', null, { isolated: true })], ids: ['i'], headBackupId: null })]).toEqual([]);
  });

  it('an id that is none is named', () => {
    expect(plan({ ids: ['nonsense'] }).refusals).toMatchObject([{ id: 'nonsense', error: { code: 'NOT_FOUND' } }]);
  });
});

/** Any history of one VM: trees, every state, several storages (one per tree). */
const history = fc
  .array(
    fc.record({
      parent: fc.nat(),
      root: fc.boolean(),
      state: fc.constantFrom<BackupState>('BackedUp', 'BackedUp', 'BackedUp', 'Removed', 'DeleteFailed', 'Failed', 'Queued'),
      endOfChain: fc.boolean(),
      leftovers: fc.boolean(),
      wished: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((seeds) => {
    const backups: DeletionBackup[] = [];
    for (const [index, seed] of seeds.entries()) {
      const parents = backups.filter(({ published }) => published);
      const parent = seed.root ? undefined : parents[seed.parent % Math.max(parents.length, 1)];
      const published = seed.state !== 'Failed' && seed.state !== 'Queued';
      backups.push(
        one(`b${index}`, parent?.id ?? null, {
          ...{ state: seed.state, published, endOfChain: seed.endOfChain },
          ...{ leftovers: seed.state === 'Failed' && seed.leftovers, storageId: parent?.storageId ?? `S${index}` },
        }),
      );
    }
    const ids = backups.filter((backup, index) => seeds[index]?.wished === true && backup.state !== 'Queued').map(({ id }) => id);
    return { backups, ids };
  });

/** What the rows are after the plan was carried out. */
function carriedOut(backups: readonly DeletionBackup[], done: DeletionPlan): DeletionBackup[] {
  const gone = new Set([...expunged(done), ...done.forget]);
  return backups.map((backup) => ({
    ...backup,
    state: gone.has(backup.id) ? 'Expunged' : done.remove.includes(backup.id) ? 'Removed' : backup.state,
    endOfChain: backup.endOfChain || done.endOfChain.includes(backup.id),
  }));
}

describe('whatever the history', () => {
  const facts = fc
    .record({ history, forced: fc.boolean(), head: fc.nat() })
    .map(({ history: { backups, ids }, forced, head }) => {
      const living = backups.filter(({ state }) => state === 'BackedUp');
      return { backups, ids, forced, headBackupId: living[head % Math.max(living.length, 1)]?.id ?? null };
    });
  const living = (backup: DeletionBackup): boolean => backup.state === 'BackedUp';
  const lineOf = (backups: readonly DeletionBackup[], backup: DeletionBackup): DeletionBackup[] => {
    const parent = backup.published ? backups.find(({ id }) => id === backup.parentId) : undefined;
    return parent === undefined ? [backup] : [backup, ...lineOf(backups, parent)];
  };

  it('no file goes that a living backup needs, and what was wished lives no longer', () => {
    fc.assert(
      fc.property(facts, (input) => {
        const done = planDeletion(input);
        const after = carriedOut(input.backups, done);
        const needed = new Set(after.filter(living).flatMap((backup) => lineOf(after, backup).map(({ id }) => id)));
        expect(expunged(done).filter((id) => needed.has(id))).toEqual([]);
        expect(after.filter((backup) => input.ids.includes(backup.id) && living(backup))).toEqual([]);
      }),
    );
  });

  it('in the chains that were touched nothing removed is kept for nobody, and only the wished and their dependents go', () => {
    fc.assert(
      fc.property(facts, (input) => {
        const done = planDeletion(input);
        const after = carriedOut(input.backups, done);
        const needed = new Set(after.filter(living).flatMap((backup) => lineOf(after, backup).map(({ id }) => id)));
        const rootOf = (backup: DeletionBackup): string => lineOf(after, backup).at(-1)?.id ?? '';
        const touched = new Set(after.filter(({ id }) => input.ids.includes(id)).map(rootOf));
        const kept = after.filter(
          (backup) => backup.state === 'Removed' && touched.has(rootOf(backup)) && !needed.has(backup.id),
        );
        expect(kept).toEqual([]);
        const lost = input.backups.filter(
          (backup) => living(backup) && !after.some(({ id, state }) => id === backup.id && state === 'BackedUp'),
        );
        const allowed = (backup: DeletionBackup): boolean =>
          input.ids.includes(backup.id) ||
          (input.forced && lineOf(input.backups, backup).some(({ id }) => input.ids.includes(id)));
        expect(lost.filter((backup) => !allowed(backup))).toEqual([]);
      }),
    );
  });

  it('a backup goes before what it depends on, each once, on its own storage', () => {
    fc.assert(
      fc.property(facts, (input) => {
        const order = expunged(planDeletion(input));
        expect(new Set(order).size).toBe(order.length);
        for (const backup of input.backups) {
          const own = order.indexOf(backup.id);
          const parent = order.indexOf(backup.parentId ?? '');
          if (own !== -1 && parent !== -1 && backup.published) expect(own).toBeLessThan(parent);
        }
        for (const { storageId, backupIds } of planDeletion(input).expunge) {
          for (const id of backupIds) expect(input.backups.find((backup) => backup.id === id)?.storageId).toBe(storageId);
        }
      }),
    );
  });

  it('asked again, nothing is left to do', () => {
    fc.assert(
      fc.property(facts, (input) => {
        const first = planDeletion(input);
        const headBackupId = first.mergeHeadDelta ? null : input.headBackupId;
        const again = planDeletion({ ...input, headBackupId, backups: carriedOut(input.backups, first) });
        expect(again).toEqual({ remove: [], expunge: [], forget: [], endOfChain: [], mergeHeadDelta: false, refusals: [] });
      }),
    );
  });
});
