/** For tests: a journal at one of whose writes the agent is taken for dead. */
import { JournalStore, type Journal } from './journal.js';
import type { AcceptedOperation, JournalEntry } from './operation-view.js';

/** Dies (never answers again) at one append, before or after it is on disk: what a killed process leaves. */
export class DyingJournalStore extends JournalStore {
  appends = 0;
  /** For the command of the dead: it does nothing more either. */
  readonly alive = (): Promise<void> => (this.appends > this.dieAt ? new Promise(() => undefined) : Promise.resolve());
  readonly died: Promise<void>;
  private die!: () => void;

  constructor(
    stateDir: string,
    private readonly dieAt: number,
    private readonly written: boolean,
    /** Which writes count; the others are simply made. */
    private readonly counts: (entry: JournalEntry) => boolean = () => true,
  ) {
    super(stateDir);
    this.died = new Promise((resolve) => {
      this.die = resolve;
    });
  }

  override async create(accepted: AcceptedOperation): Promise<Journal> {
    const journal = await super.create(accepted);
    const append = journal.append.bind(journal);
    journal.append = async (entry: JournalEntry) => {
      if (!this.counts(entry) && this.appends <= this.dieAt) return append(entry);
      const number = this.appends++;
      if (number < this.dieAt) return append(entry);
      if (number === this.dieAt && this.written) await append(entry);
      this.die();
      return new Promise<never>(() => undefined);
    };
    return journal;
  }
}
