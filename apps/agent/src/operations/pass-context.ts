/**
 * What one pass of a command (relieve, run or undo) gets from the runner: StepContext over the operation's journal.
 * Owns the order intent → act → confirm. A new pass replays: confirmed steps answer from the journal.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Breakpoints } from './breakpoints.js';
import type { Attempt, Json, RecordedStep, StepContext } from './command.js';
import type { Log } from '../logging/log.js';
import { AgentStopping, type LiveOperation } from './live-operation.js';
import { stepKey, type ProgressView } from './operation-view.js';

export type PassKind = 'relieve' | 'run' | 'undo';

const UNDO_PREFIX = 'undo-';

export class PassContext implements StepContext {
  private readonly steps: Map<string, RecordedStep>;
  private readonly seen = new Set<string>();

  constructor(
    private readonly operation: LiveOperation,
    private readonly pass: PassKind,
    readonly resumed: boolean,
    readonly rebooted: boolean,
    readonly lastTry: boolean,
    private readonly breakpoints: Breakpoints,
  ) {
    this.steps = operation.steps();
  }

  get operationId(): string {
    return this.operation.id;
  }

  get signal(): AbortSignal {
    return this.pass === 'run' ? this.operation.runStop.signal : this.operation.lifeEnd.signal;
  }

  get log(): Log {
    return this.operation.log;
  }

  get pastPointOfNoReturn(): boolean {
    return this.operation.pastPointOfNoReturn;
  }

  async step<I extends Json, R extends Json>(
    name: string,
    subject: string,
    intent: I,
    act: (intent: I, attempt: Attempt) => Promise<R>,
  ): Promise<R> {
    const key = stepKey(name, subject);
    this.checkName(name, subject, key);
    this.mayGoOn();
    const before = this.steps.get(key);
    if (before?.confirmed) return before.result as R;
    const recordedIntent = before === undefined ? intent : (before.intent as I);
    await this.operation.append({ type: 'step-intent', name, subject, intent: recordedIntent });
    this.steps.set(key, { intent: recordedIntent, confirmed: false });
    await this.breakpoints.reached(name, subject, 'before');
    this.mayGoOn();
    const result = await this.act(name, subject, () => act(recordedIntent, { repeated: before !== undefined }));
    await this.breakpoints.reached(name, subject, 'after');
    await this.operation.append({ type: 'step-confirmed', name, subject, result });
    this.steps.set(key, { intent: recordedIntent, result, confirmed: true });
    return result;
  }

  recorded(name: string, subject = ''): RecordedStep | undefined {
    return this.steps.get(stepKey(name, subject));
  }

  async pointOfNoReturn(): Promise<void> {
    if (this.operation.pastPointOfNoReturn) return;
    this.mayGoOn();
    // From here a cancel is too late, even while the entry is being written.
    this.operation.pastPointOfNoReturn = true;
    await this.operation.append({ type: 'point-of-no-return' });
  }

  progress(report: ProgressView): void {
    this.operation.reportProgress(report);
  }

  warn(message: string): void {
    this.log.warn(message);
    if (this.operation.view().warnings.includes(message)) return;
    // A failure is remembered by the operation and met by its driver.
    this.operation.append({ type: 'warning', message }).catch(() => undefined);
  }

  private async act<R extends Json>(name: string, subject: string, act: () => Promise<R>): Promise<R> {
    try {
      // A step without an answer is recorded as null: JSON has no undefined.
      return (await act()) ?? (null as R);
    } catch (thrown) {
      if (this.operation.stopping) throw new AgentStopping();
      const error = HoldfastError.from(thrown);
      this.log.warn('Step failed', { step: name, subject, pass: this.pass, code: error.code, reason: error.message });
      await this.operation.append({ type: 'step-failed', name, subject, error: error.toData() });
      throw thrown;
    }
  }

  /** Throws when this pass must not act any more: the agent stops, or the run shall be undone. */
  private mayGoOn(): void {
    if (this.operation.stopping) throw new AgentStopping();
    const { stopReason, pastPointOfNoReturn } = this.operation;
    if (this.pass === 'run' && stopReason !== undefined && !pastPointOfNoReturn) throw HoldfastError.fromData(stopReason);
  }

  private checkName(name: string, subject: string, key: string): void {
    const wrongPass = this.pass === 'undo' ? !name.startsWith(UNDO_PREFIX) : name.startsWith(UNDO_PREFIX);
    if (wrongPass)
      throw new HoldfastError(
        'BUG',
        `Step "${name}" does not belong into ${this.pass}: names of undo steps, and only these, begin with "${UNDO_PREFIX}".`,
      );
    if (this.seen.has(key))
      throw new HoldfastError(
        'BUG',
        `Step "${name}" of "${subject}" is taken twice in one pass of operation ${this.operation.id}.`,
      );
    this.seen.add(key);
  }
}
