/**
 * Asks libvirt for domains with few processes: several commands share one connection. Owns what is asked; compares nothing.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ObservedSnapshot, PowerState } from '@holdfast/shared/chain/observed-domain.js';
import { readDomain, type DomainFacts } from './domain-facts.js';
import { powerState, readState, type DomainState, type Known } from './observe.js';
import { readQemuDisks, type QemuDisk, type QueryBlock } from './qemu-block.js';
import { qmpThroughLibvirt, resultOf } from './qmp.js';
import { SnapshotReader } from './snapshot-reader.js';
import type { Virsh } from './virsh.js';

/** What libvirt says of a domain, before QEMU is asked. */
export interface Definition {
  readonly current: DomainFacts;
  readonly persistent: DomainFacts | undefined;
  readonly state: DomainState;
  readonly snapshots: readonly ObservedSnapshot[];
}

/** A domain that cannot be read, with what is known of it. */
export interface UnreadDomain {
  readonly uuid: string;
  readonly definition: Definition;
  readonly error: HoldfastError;
}

/** Domains per process. A stuck one makes only its share slow. */
const BATCH = 25;
const BATCH_MS = 30_000;
const QUERY_BLOCK = JSON.stringify({ execute: 'query-block' });

/**
 * The last one proves itself (see batchWithProof). A domain that it names is in one of each pair before it, or that pair was not
 * answered; one that gets or loses its only snapshot just now is in both.
 */
const LISTS = [
  'list --all --persistent --uuid',
  'list --all --transient --uuid',
  'list --all --without-snapshot --uuid',
  'list --all --with-snapshot --uuid',
  'list --all --uuid',
];
/** So often libvirt is asked again when an answer is missing: it was restarted in between, or the domain came or ended just now. */
const REPEATS = 3;

interface Lists {
  readonly all: readonly string[];
  readonly persistent: ReadonlySet<string>;
  /** Certainly without a snapshot that libvirt keeps record of. */
  readonly plain: ReadonlySet<string>;
}

export class DomainReader {
  private readonly snapshots: SnapshotReader;

  constructor(private readonly virsh: Virsh) {
    this.snapshots = new SnapshotReader(virsh);
  }

  /** UUIDs of all domains, and which of them are persistent. A domain that is not among them is not there. */
  async list(): Promise<Lists> {
    return (await this.ask([])).lists;
  }

  /** Definition and state of a domain; undefined when libvirt does not know it. */
  async definition(uuid: string): Promise<Definition | undefined> {
    return (await this.describe(uuid, questions(uuid)))?.definition;
  }

  /** A domain with everything that is known of it. Undefined when libvirt does not know it. */
  async known(uuid: string): Promise<Known | undefined> {
    for (let left = REPEATS; ; left -= 1) {
      const described = await this.describe(uuid, [...questions(uuid), queryBlock(uuid)]);
      if (described === undefined) return undefined;
      const { definition, answers } = described;
      if (definition.current.id === undefined) return { ...definition, qemu: undefined };
      try {
        return { ...definition, qemu: await this.openDisks(uuid, answers.at(-1) ?? '') };
      } catch (thrown) {
        if (!mayHaveStopped(thrown) || left === 0) throw thrown;
      }
    }
  }

  /** Answers to these commands and, in the same process after them, whole lists. */
  private async ask(commands: readonly string[]): Promise<{ lists: Lists; answers: readonly string[] }> {
    for (let left = REPEATS; ; left -= 1) {
      try {
        const answers = await this.virsh.batchWithProof([...commands, ...LISTS]);
        return { lists: readLists(answers.slice(commands.length)), answers: answers.slice(0, commands.length) };
      } catch (thrown) {
        // libvirt answers again: nothing was changed, so the question may be repeated.
        if (HoldfastError.from(thrown).code !== 'TOOL_FAILED' || left === 0) throw thrown;
      }
    }
  }

  private async describe(
    uuid: string,
    commands: readonly string[],
  ): Promise<{ definition: Definition; answers: readonly string[] } | undefined> {
    for (let left = REPEATS; left >= 0; left -= 1) {
      const { lists, answers } = await this.ask(commands);
      if (!lists.all.includes(uuid)) return undefined;
      const own = read(answers, lists.persistent.has(uuid));
      if (own === undefined) continue;
      const snapshots = lists.plain.has(uuid) ? [] : await this.snapshots.read(uuid);
      return { definition: { ...own, snapshots }, answers };
    }
    // It was listed and could not be read: this call says why, or shows that it went away in between.
    try {
      await this.virsh.call(['dumpxml', '--domain', uuid], { uuid });
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
    throw new HoldfastError('TOOL_FAILED', `libvirt lists the VM ${uuid} but does not describe it.`, {
      tool: 'virsh',
      vmId: uuid,
    });
  }

  /** What QEMU has open for a running domain, by its answer to queryBlock; asked again when there is none. */
  private async openDisks(uuid: string, answer: string): Promise<QemuDisk[]> {
    const asked = answer === '' ? await qmpThroughLibvirt(this.virsh, uuid).execute<QueryBlock>('query-block') : undefined;
    return readQemuDisks(asked ?? resultOf<QueryBlock>('query-block', answer));
  }

  /**
   * As `known`, for all domains but `except`, in a few processes. A domain that cannot be read has an error in its place; one that went
   * away meanwhile has no entry.
   */
  async knownAll(except?: string): Promise<Map<string, Known | UnreadDomain>> {
    const { all: listed, persistent, plain } = await this.list();
    const all = listed.filter((uuid) => uuid !== except);
    const snapshots = await this.snapshots.readAll(all.filter((uuid) => !plain.has(uuid)));
    const result = new Map<string, Known | UnreadDomain>();
    const running: [string, Definition][] = [];
    for (const share of shares(all)) {
      const answers = await this.virsh.batch(share.flatMap(questions), BATCH_MS);
      for (const [index, uuid] of share.entries()) {
        const own = read(answers.slice(index * 3, index * 3 + 3), persistent.has(uuid));
        const found = snapshots.get(uuid) ?? [];
        // One that was listed and does not answer is gone only when libvirt says so.
        const definition =
          own === undefined ? await this.definition(uuid) : { ...own, snapshots: found instanceof HoldfastError ? [] : found };
        if (definition === undefined) continue;
        if (own !== undefined && found instanceof HoldfastError) result.set(uuid, { uuid, definition, error: found });
        else if (definition.current.id !== undefined) running.push([uuid, definition]);
        else result.set(uuid, { ...definition, qemu: undefined });
      }
    }
    for (const share of shares(running)) {
      for (const [uuid, known] of await this.withOpenDisks(share)) if (known !== undefined) result.set(uuid, known);
    }
    return result;
  }

  /** One process for all; when one QEMU holds it up, each is asked by itself, so that only that one is missing. */
  private async withOpenDisks(share: readonly [string, Definition][]): Promise<[string, Known | UnreadDomain | undefined][]> {
    const answers = await this.virsh.batch(share.map(([uuid]) => queryBlock(uuid))).catch((thrown: unknown) => {
      if (HoldfastError.from(thrown).code !== 'TIMED_OUT') throw thrown;
      return share.map(() => '');
    });
    return Promise.all(
      share.map(async ([uuid, definition], index): Promise<[string, Known | UnreadDomain | undefined]> => {
        try {
          return [uuid, await this.knownByAnswer(uuid, definition, answers[index] ?? '')];
        } catch (thrown) {
          return [uuid, { uuid, definition, error: HoldfastError.from(thrown) }];
        }
      }),
    );
  }

  private async knownByAnswer(uuid: string, definition: Definition, answer: string): Promise<Known | undefined> {
    try {
      return { ...definition, qemu: await this.openDisks(uuid, answer) };
    } catch (thrown) {
      if (!mayHaveStopped(thrown)) throw thrown;
      return this.known(uuid);
    }
  }
}

/** A QEMU that does not say what it has open may have died since its domain was described: the next description tells. */
function mayHaveStopped(thrown: unknown): boolean {
  const { code } = HoldfastError.from(thrown);
  return code === 'TOOL_FAILED' || code === 'NOT_FOUND';
}

function questions(uuid: string): string[] {
  return [`domstats --raw --state --nowait --domain ${uuid}`, `dumpxml --domain ${uuid}`, `dumpxml --inactive --domain ${uuid}`];
}

function queryBlock(uuid: string): string {
  return `qemu-monitor-command --domain ${uuid} --cmd '${QUERY_BLOCK}'`;
}

const STARTED: ReadonlySet<PowerState> = new Set(['running', 'paused']);

function read(answers: readonly string[], persistent: boolean): Omit<Definition, 'snapshots'> | undefined {
  const [stats = '', current = '', inactive = ''] = answers;
  const state = readState(stats);
  if (state === undefined || current === '' || inactive === '') return undefined;
  const facts = readDomain(current);
  // It stopped between the two answers: why it did (migrated away?) is not in the first.
  if (facts.id === undefined && STARTED.has(powerState(state))) return undefined;
  return { current: facts, persistent: persistent ? readDomain(inactive) : undefined, state };
}

function readLists(lists: readonly string[]): Lists {
  const [persistent, transient, without, having, all] = lists.map(words) as [string[], string[], string[], string[], string[]];
  const kinds = new Set([...persistent, ...transient]);
  if (!all.every((uuid) => kinds.has(uuid))) {
    throw new HoldfastError('TOOL_FAILED', 'libvirt did not say of every VM whether it is persistent.', { tool: 'virsh' });
  }
  const some = new Set(having);
  return { all, persistent: new Set(persistent), plain: new Set(without.filter((uuid) => !some.has(uuid))) };
}

function words(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function shares<T>(items: readonly T[]): T[][] {
  const result: T[][] = [];
  for (let start = 0; start < items.length; start += BATCH) result.push(items.slice(start, start + BATCH));
  return result;
}
