/**
 * Decides what deleting backups of one VM means: what is only taken from sight, whose files go and in which order, where
 * chains end, what has to be merged on primary, and what is refused. Pure: rows and a wish in, a plan out.
 */
import type { BackupState } from '../api/backups.js';
import type { ErrorData } from '../errors/holdfast-error.js';

/** One backup of the VM. */
export interface DeletionBackup {
  readonly id: string;
  readonly name: string;
  readonly state: BackupState;
  readonly parentId: string | null;
  readonly storageId: string;
  /** It was published once: its manifest stood on storage. */
  readonly published: boolean;
  /** Never published, and its unfinished files are still on storage. */
  readonly leftovers: boolean;
  readonly isolated: boolean;
  readonly endOfChain: boolean;
  readonly protected: boolean;
  /** Of another account than the one that asks. */
  readonly foreign: boolean;
  /** The operation that takes or reads it just now. */
  readonly busyWith?: string | undefined;
}

export interface DeletionFacts {
  /** All backups of the VM, oldest first. */
  readonly backups: readonly DeletionBackup[];
  /** Newest backup of the open chain. */
  readonly headBackupId: string | null;
  /** What shall go. An id that went before is fine. */
  readonly ids: readonly string[];
  /** What depends on these goes with them. */
  readonly forced: boolean;
}

/** Why one backup cannot be deleted now. */
export interface DeletionRefusal {
  readonly id: string;
  readonly error: ErrorData;
}

export interface DeletionPlan {
  /** Become Removed: their files stay for the backups that need them. */
  readonly remove: readonly string[];
  /** Their files go, by storage, a backup before what it depends on. Also what was removed earlier and nobody needs any more. */
  readonly expunge: readonly { readonly storageId: string; readonly backupIds: readonly string[] }[];
  /** They have no files: only their rows change. */
  readonly forget: readonly string[];
  /** Become the end of their chain. */
  readonly endOfChain: readonly string[];
  /** The open chain ends: its deltas on primary are merged. */
  readonly mergeHeadDelta: boolean;
  /** With a refusal nothing at all is done, and the rest of the plan is empty. */
  readonly refusals: readonly DeletionRefusal[];
}

/** The plan. The same wish after it was carried out plans nothing. */
export function planDeletion(facts: DeletionFacts): DeletionPlan {
  const chain = new Chains(facts.backups);
  const wished = facts.ids.flatMap((id) => chain.get(id) ?? []);
  const chosen = new Set(wished);
  if (facts.forced) for (const backup of wished) for (const below of chain.descendants(backup)) chosen.add(below);
  const unknown = facts.ids.filter((id) => chain.get(id) === undefined);
  const refusals = [...unknown.map(unknownBackup), ...[...chosen].flatMap((backup) => refusal(backup) ?? [])];
  if (refusals.length > 0) return { ...NOTHING, refusals };

  const going = new Set([...chosen].filter(({ state }) => state === 'BackedUp' || state === 'Failed'));
  const living = (backup: DeletionBackup): boolean =>
    (backup.state === 'BackedUp' || backup.state === 'BackingUp') && !going.has(backup);
  const needed = (backup: DeletionBackup): boolean => living(backup) || chain.descendants(backup).some(living);
  const goes = (backup: DeletionBackup): boolean =>
    !needed(backup) && (going.has(backup) || backup.state === 'Removed' || backup.state === 'DeleteFailed');

  const touched = chain.treesOf(wished);
  const gone = touched.filter(goes);
  const withFiles = gone.filter(({ state, published, leftovers }) => published || leftovers || state === 'DeleteFailed');
  const ends = new Set(gone.flatMap((backup) => chain.ancestors(backup).find(living) ?? []));
  return {
    remove: touched.filter((backup) => going.has(backup) && needed(backup)).map(({ id }) => id),
    expunge: byStorage(chain.deepestFirst(withFiles)),
    forget: gone.filter((backup) => !withFiles.includes(backup)).map(({ id }) => id),
    endOfChain: [...ends].filter((end) => !end.endOfChain && !chain.descendants(end).some(living)).map(({ id }) => id),
    mergeHeadDelta: [...going].some(({ id }) => id === facts.headBackupId),
    refusals: [],
  };
}

/**
 * Which of the living backups in the chains of `ids` are the end of theirs, as it should be on record; isolated ones are in no
 * chain. For when a deletion stopped half way and some live again.
 */
export function chainEnds({ backups, ids, headBackupId }: Omit<DeletionFacts, 'forced'>): ReadonlyMap<string, boolean> {
  const chain = new Chains(backups);
  const living = ({ state }: DeletionBackup): boolean => state === 'BackedUp' || state === 'BackingUp';
  const touched = chain.treesOf(ids.flatMap((id) => chain.get(id) ?? []));
  return new Map(
    touched
      .filter((backup) => backup.state === 'BackedUp' && !backup.isolated)
      .map((backup) => [backup.id, backup.id !== headBackupId && !chain.descendants(backup).some(living)]),
  );
}

const NOTHING: DeletionPlan = { remove: [], expunge: [], forget: [], endOfChain: [], mergeHeadDelta: false, refusals: [] };

/** Who depends on whom. A backup that was never published depends on nobody: it has no files that could need a parent's. */
class Chains {
  private readonly byId: ReadonlyMap<string, DeletionBackup>;
  private readonly children = new Map<string, DeletionBackup[]>();

  constructor(private readonly backups: readonly DeletionBackup[]) {
    this.byId = new Map(backups.map((backup) => [backup.id, backup]));
    for (const backup of backups) {
      const parent = this.parent(backup);
      if (parent !== undefined) this.children.set(parent.id, [...(this.children.get(parent.id) ?? []), backup]);
    }
  }

  get(id: string): DeletionBackup | undefined {
    return this.byId.get(id);
  }

  /** Nearest first. */
  ancestors(backup: DeletionBackup): DeletionBackup[] {
    const found: DeletionBackup[] = [];
    for (let at = this.parent(backup); at !== undefined && !found.includes(at); at = this.parent(at)) found.push(at);
    return found;
  }

  descendants(backup: DeletionBackup): DeletionBackup[] {
    const found = new Set<DeletionBackup>();
    const visit = (one: DeletionBackup): void => {
      for (const child of this.children.get(one.id) ?? []) {
        if (found.has(child)) continue;
        found.add(child);
        visit(child);
      }
    };
    visit(backup);
    return [...found];
  }

  /** Every backup of the chains that these belong to, oldest first. */
  treesOf(some: readonly DeletionBackup[]): DeletionBackup[] {
    const root = (backup: DeletionBackup): DeletionBackup => this.ancestors(backup).at(-1) ?? backup;
    const roots = new Set(some.map(root));
    return this.backups.filter((backup) => roots.has(root(backup)));
  }

  /** Children before parents; of equals the newest first. */
  deepestFirst(some: readonly DeletionBackup[]): DeletionBackup[] {
    const place = new Map(this.backups.map((backup, index) => [backup, { depth: this.ancestors(backup).length, index }]));
    const of = (backup: DeletionBackup): { depth: number; index: number } => place.get(backup) ?? { depth: 0, index: 0 };
    return [...some].sort((a, b) => of(b).depth - of(a).depth || of(b).index - of(a).index);
  }

  private parent(backup: DeletionBackup): DeletionBackup | undefined {
    if (!backup.published && backup.state !== 'BackingUp') return undefined;
    return backup.parentId === null ? undefined : this.byId.get(backup.parentId);
  }
}

function byStorage(backups: readonly DeletionBackup[]): DeletionPlan['expunge'] {
  const storages = new Map<string, string[]>();
  for (const { storageId, id } of backups) storages.set(storageId, [...(storages.get(storageId) ?? []), id]);
  return [...storages].map(([storageId, backupIds]) => ({ storageId, backupIds }));
}

function refusal(backup: DeletionBackup): DeletionRefusal | undefined {
  const { id, name, state, busyWith } = backup;
  const fields = { backupId: id, ...(busyWith === undefined ? {} : { operationId: busyWith }) };
  if (state === 'Queued' || state === 'BackingUp') {
    const message = `The backup "${name}" is being taken (operation ${busyWith ?? 'unknown'}). Cancel that, or wait for its end, then delete it.`;
    return { id, error: { code: 'WRONG_STATE', message, fields: { ...fields, state } } };
  }
  if (busyWith !== undefined) {
    const message = `The backup "${name}" is being read by operation ${busyWith}. Cancel that, or wait for its end, then delete it.`;
    return { id, error: { code: 'IN_USE', message, fields } };
  }
  if (backup.protected && (state === 'BackedUp' || state === 'Failed')) {
    const message = `The backup "${name}" is protected. Unprotect it first ("holdfast backup unprotect ${id}"), then delete it.`;
    return { id, error: { code: 'WRONG_STATE', message, fields: { ...fields, protected: 'true' } } };
  }
  if (backup.foreign) {
    const message = `The backup "${name}" of another account depends on what is to be deleted. Ask an administrator, or delete without force.`;
    return { id, error: { code: 'FORBIDDEN', message, fields } };
  }
  return undefined;
}

function unknownBackup(id: string): DeletionRefusal {
  const message = `The VM has no backup ${id}. List its backups to see their ids.`;
  return { id, error: { code: 'NOT_FOUND', message, fields: { backupId: id } } };
}
