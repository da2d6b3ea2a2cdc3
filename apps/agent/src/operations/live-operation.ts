/**
 * One operation in this life of the agent: its journal, its view, its watchers and the wish to stop it. Owns what may be
 * written when; does not decide what happens next (operation-driver.ts) nor act (commands).
 */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Clock } from '../clock/clock.js';
import type { Command, CommandHeader, RecordedStep } from './command.js';
import type { Log } from '../logging/log.js';
import { journalLine } from './journal-lines.js';
import type { Journal } from './journal.js';
import {
  foldJournal,
  foldSteps,
  isFinished,
  revisionOf,
  type JournalEntry,
  type OperationView,
  type ProgressView,
} from './operation-view.js';

/** A request of any command: the runner needs no more than the header. */
export type AnyRequest = { readonly header: CommandHeader };
// The runner passes requests from a codec to the same command's methods and never looks into them.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyCommand = Command<any, any>;

/** An entry without its time. */
export type NewEntry = JournalEntry extends infer E ? (E extends JournalEntry ? Omit<E, 'at'> : never) : never;

export type Watcher = (view: OperationView) => void;

/** Progress is told at most this often; journalled changes at once. */
const PROGRESS_INTERVAL_MS = 250;

/** Thrown through a command when its agent stops: not an outcome, the operation goes on in the next life. */
export class AgentStopping extends Error {}

export class LiveOperation {
  readonly request: AnyRequest;
  /** Aborted by cancel, by the time limit before the point of no return, and when the agent stops. */
  readonly runStop = new AbortController();
  /** Aborted only when the agent stops. */
  readonly lifeEnd = new AbortController();
  /** Why it shall stop, from the moment of the wish. */
  stopReason: ErrorData | undefined;
  /** From the moment that the entry is about to be written. */
  pastPointOfNoReturn: boolean;
  /** The journal could not be written; see operation-driver.ts. */
  journalFailure: unknown;

  private readonly watchers = new Set<Watcher>();
  private readonly progress = new Map<string, ProgressView>();
  private progressReports = 0;
  private progressTimer: NodeJS.Timeout | undefined;
  private folded: OperationView;

  constructor(
    readonly journal: Journal,
    readonly command: AnyCommand,
    private readonly clock: Clock,
    readonly log: Log,
  ) {
    this.request = command.codec.decode(journal.accepted.request) as AnyRequest;
    this.folded = foldJournal(journal.accepted, journal.entries);
    this.pastPointOfNoReturn = this.folded.pastPointOfNoReturn;
    this.stopReason = this.folded.stopRequested;
  }

  get id(): string {
    return this.journal.accepted.operationId;
  }

  get finished(): boolean {
    return isFinished(this.folded);
  }

  get stopping(): boolean {
    return this.lifeEnd.signal.aborted;
  }

  view(): OperationView {
    return {
      ...this.folded,
      revision: revisionOf(this.journal.entries.length, this.progressReports),
      progress: [...this.progress.values()],
    };
  }

  steps(): Map<string, RecordedStep> {
    return foldSteps(this.journal.entries);
  }

  /** Writes an entry durably and tells the watchers. */
  async append(entry: NewEntry): Promise<void> {
    const whole = { at: this.clock.now(), ...entry } as JournalEntry;
    if (this.finished)
      throw new HoldfastError('BUG', `Operation ${this.id} has finished; nothing more can be written (${entry.type}).`, {
        operationId: this.id,
      });
    // What is not JSON is a mistake of the command, not of the disk.
    try {
      journalLine(whole);
    } catch (cause) {
      throw new HoldfastError(
        'BUG',
        `An entry of operation ${this.id} is not JSON (${entry.type}).`,
        { operationId: this.id },
        { cause },
      );
    }
    try {
      await this.journal.append(whole);
    } catch (cause) {
      this.journalFailure = cause;
      throw new HoldfastError(
        'INTERRUPTED',
        `The journal of operation ${this.id} cannot be written; the state directory may be full.`,
        { operationId: this.id },
        { cause },
      );
    }
    this.changed();
    if (this.finished) {
      clearTimeout(this.progressTimer);
      await this.journal.close();
    }
  }

  /** After `journal.reopen`: what is on disk is the truth again. */
  reread(): void {
    this.journalFailure = undefined;
    this.folded = foldJournal(this.journal.accepted, this.journal.entries);
    this.pastPointOfNoReturn = this.folded.pastPointOfNoReturn;
  }

  /** Cancel or time limit. WRONG_STATE past the point of no return. */
  async requestStop(error: HoldfastError): Promise<void> {
    if (this.pastPointOfNoReturn) {
      throw new HoldfastError(
        'WRONG_STATE',
        `Operation ${this.id} is past its point of no return and is being finished; it cannot be stopped any more.`,
        {
          operationId: this.id,
        },
      );
    }
    if (this.stopReason !== undefined) return;
    this.stopReason = error.toData();
    await this.append({ type: 'stop-requested', error: this.stopReason });
    this.runStop.abort(error);
  }

  /** Ends this life of the operation without an outcome. */
  endLife(): void {
    this.lifeEnd.abort(new AgentStopping());
    this.runStop.abort(new AgentStopping());
    clearTimeout(this.progressTimer);
  }

  reportProgress(report: ProgressView): void {
    this.progress.set(`${report.key}\0${report.target}`, report);
    this.progressReports += 1;
    if (this.progressTimer !== undefined || this.stopping) return;
    this.progressTimer = setTimeout(() => {
      this.progressTimer = undefined;
      this.tell();
    }, PROGRESS_INTERVAL_MS);
    this.progressTimer.unref();
  }

  /** Calls the watcher with the view now and after every change. Returns the end of it. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    watcher(this.view());
    return () => this.watchers.delete(watcher);
  }

  private changed(): void {
    this.folded = foldJournal(this.journal.accepted, this.journal.entries);
    this.progressReports = 0;
    this.tell();
  }

  private tell(): void {
    const view = this.view();
    for (const watcher of [...this.watchers]) watcher(view);
  }
}
