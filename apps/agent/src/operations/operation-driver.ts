/**
 * Takes one operation from where its journal says to its end: run, undo, retries. Owns what an error means before and after
 * the point of no return. Knows neither limits nor other operations.
 */
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Clock } from '../clock/clock.js';
import type { Breakpoints } from './breakpoints.js';
import type { Json, Outcome, VmOutcomeName } from './command.js';
import { AgentStopping, type LiveOperation } from './live-operation.js';
import { PassContext, type PassKind } from './pass-context.js';

export interface DriverOptions {
  readonly clock: Clock;
  readonly breakpoints: Breakpoints;
  /** Names the boot of this host. */
  readonly bootId: string;
  /** How long undo, or the way forward after the point of no return, is tried again. */
  readonly undoPatienceMs: number;
  /** Pause between tries: doubles from the first to the most. */
  readonly backoff: { readonly firstMs: number; readonly mostMs: number };
}

/** Node's timers take no longer delay. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class OperationDriver {
  constructor(private readonly options: DriverOptions) {}

  /**
   * Drives to the end of the operation or of this life; never throws. A journal that cannot be written is treated as a
   * death of the agent: the guest is relieved, and when the journal can be written again, the operation is resumed from
   * what is on disk.
   */
  async drive(operation: LiveOperation): Promise<void> {
    let tries = 0;
    for (;;) {
      try {
        await this.live(operation);
        return;
      } catch (thrown) {
        if (operation.stopping) return;
        const reason = HoldfastError.from(operation.journalFailure ?? thrown);
        operation.log.error('Operation waits: its journal cannot be written', { reason: reason.message });
        await this.relieve(operation).catch(() => undefined);
        await this.pause(operation, tries++);
        if (operation.stopping) return;
        await this.reopen(operation);
      }
    }
  }

  /** One quick, repeatable relief of the guest. */
  async relieve(operation: LiveOperation): Promise<void> {
    await operation.command.relieve(operation.request, this.context(operation, 'relieve', true));
  }

  private async reopen(operation: LiveOperation): Promise<void> {
    try {
      await operation.journal.reopen();
      operation.reread();
    } catch (thrown) {
      // Tried again after the next pause: drive sees the failure at the first append.
      operation.log.error('The journal cannot be read back', { reason: HoldfastError.from(thrown).message });
    }
  }

  /** From the journal's last word to the end. Throws only when the journal fails or the agent stops. */
  private async live(operation: LiveOperation): Promise<void> {
    const view = operation.view();
    const resumed = view.state !== 'Queued';
    await operation.append({ type: resumed ? 'resumed' : 'started' });
    if (view.state === 'Undoing') return this.undo(operation, resumed);
    if (operation.stopReason !== undefined && !operation.pastPointOfNoReturn)
      return this.fail(operation, operation.stopReason, resumed);
    const endLimit = this.limitTime(operation);
    try {
      return await this.run(operation, resumed);
    } finally {
      endLimit();
    }
  }

  private async run(operation: LiveOperation, resumed: boolean): Promise<void> {
    const begun = this.options.clock.now();
    let lastTry = false;
    for (let tries = 0; ; tries++) {
      let outcome: Outcome<unknown>;
      try {
        outcome = (await operation.command.run(
          operation.request,
          this.context(operation, 'run', resumed || tries > 0, lastTry),
        )) as Outcome<unknown>;
        const result = operation.command.resultCodec.encode(outcome.result);
        this.mustBeWhole(operation);
        await operation.append({ type: 'finished', state: 'Succeeded', vmOutcome: outcome.vmOutcome, result });
        return;
      } catch (thrown) {
        this.mustBeWhole(operation);
        const error = HoldfastError.from(thrown);
        operation.log.warn('Operation met an error', { code: error.code, reason: error.message, cause: causeOf(error) });
        if (!operation.pastPointOfNoReturn) return this.fail(operation, operation.stopReason ?? error.toData(), resumed);
        // The work is published: only the way forward is left, and at the end of it whatever stands.
        if (lastTry) {
          await operation.append({ type: 'finished', state: 'Failed', vmOutcome: 'MergePending', error: error.toData() });
          return;
        }
        lastTry = this.options.clock.now() - begun >= this.options.undoPatienceMs;
        if (!lastTry) await this.pause(operation, tries);
        this.mustBeWhole(operation);
      }
    }
  }

  private async fail(operation: LiveOperation, error: ErrorData, resumed: boolean): Promise<void> {
    await operation.append({ type: 'failing', error });
    return this.undo(operation, resumed);
  }

  private async undo(operation: LiveOperation, resumed: boolean): Promise<void> {
    const begun = this.options.clock.now();
    const reason = operation.view().error ?? new HoldfastError('BUG', 'Undo without a reason.').toData();
    for (let tries = 0; ; tries++) {
      try {
        const context = this.context(operation, 'undo', resumed || tries > 0);
        const undone = await operation.command.undo(operation.request, context, HoldfastError.fromData(reason));
        this.mustBeWhole(operation);
        const result = undone.result === undefined ? undefined : operation.command.resultCodec.encode(undone.result);
        return await this.finishUndone(operation, reason, undone.vmOutcome, undone.error, result);
      } catch (thrown) {
        this.mustBeWhole(operation);
        const error = HoldfastError.from(thrown);
        operation.log.warn('Undo met an error', { code: error.code, reason: error.message, tries, cause: causeOf(error) });
        const patienceOver = this.options.clock.now() - begun >= this.options.undoPatienceMs;
        if (!error.retryable || patienceOver) return this.finishUndone(operation, reason, 'MergePending', error.toData());
        await this.pause(operation, tries);
        this.mustBeWhole(operation);
      }
    }
  }

  private async finishUndone(
    operation: LiveOperation,
    reason: ErrorData,
    vmOutcome: VmOutcomeName,
    undoError: ErrorData | undefined,
    result?: Json,
  ): Promise<void> {
    if (undoError !== undefined) await operation.append({ type: 'warning', message: `Taking back failed: ${undoError.message}` });
    const cancelled = reason.code === 'CANCELLED' && operation.stopReason !== undefined && undoError === undefined;
    // For machines: what kept the undo from its end stands beside the first reason.
    const error =
      undoError === undefined
        ? reason
        : { ...reason, fields: { ...reason.fields, undoCode: undoError.code, undoMessage: undoError.message } };
    await operation.append({
      type: 'finished',
      state: cancelled ? 'Cancelled' : 'Failed',
      vmOutcome,
      error,
      ...(result === undefined ? {} : { result }),
    });
  }

  /** The time limit counts from the operation's start, over all lives. Returns the end of the watch. */
  private limitTime(operation: LiveOperation): () => void {
    const { timeoutSeconds } = operation.journal.accepted;
    const startedAtMs = operation.view().startedAtMs;
    if (timeoutSeconds === 0 || startedAtMs === undefined) return () => undefined;
    const endsAtMs = startedAtMs + timeoutSeconds * 1_000;
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      const left = endsAtMs - this.options.clock.now();
      if (left > 0) {
        timer = setTimeout(wait, Math.min(left, LONGEST_TIMER_MS));
        timer.unref();
        return;
      }
      const error = new HoldfastError(
        'TIMED_OUT',
        `Operation ${operation.id} did not end within ${timeoutSeconds} s and is taken back; allow more time or look why it is slow.`,
        {
          operationId: operation.id,
          timeoutSeconds: String(timeoutSeconds),
        },
      );
      // Too late past the point of no return: it goes on.
      operation.requestStop(error).catch(() => undefined);
    };
    wait();
    return () => clearTimeout(timer);
  }

  /** A pass that ended while the agent stops or the journal failed has no outcome, whatever it returned or threw. */
  private mustBeWhole(operation: LiveOperation): void {
    if (operation.stopping) throw new AgentStopping();
    if (operation.journalFailure !== undefined) throw operation.journalFailure;
  }

  private async pause(operation: LiveOperation, tries: number): Promise<void> {
    const { firstMs, mostMs } = this.options.backoff;
    await this.options.clock.sleep(Math.min(firstMs * 2 ** Math.min(tries, 20), mostMs), operation.lifeEnd.signal);
  }

  private context(operation: LiveOperation, pass: PassKind, resumed: boolean, lastTry = false): PassContext {
    const rebooted = operation.journal.accepted.bootId !== this.options.bootId;
    return new PassContext(operation, pass, resumed, rebooted, lastTry, this.options.breakpoints);
  }
}

function causeOf(error: HoldfastError): string | undefined {
  return error.cause instanceof Error ? error.cause.stack : undefined;
}
