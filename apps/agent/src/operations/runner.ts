/**
 * All operations of this agent: accepting (idempotent, fenced, one per VM), admission by the host's limit, watching,
 * cancelling, forgetting, and going on after a restart. Owns the set; one operation's way to its end is operation-driver.ts.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { paramsHash } from './canonical-json.js';
import type { OperationKindName } from './command.js';
import type { FencingTokens } from './fencing.js';
import type { JournalStore } from './journal.js';
import { LiveOperation, type AnyCommand, type AnyRequest, type Watcher } from './live-operation.js';
import { OperationDriver, type DriverOptions } from './operation-driver.js';
import type { Log } from '../logging/log.js';
import type { OperationView } from './operation-view.js';
import { relieveAll } from './recovery.js';

export interface RunnerOptions extends DriverOptions {
  readonly journals: JournalStore;
  readonly fencing: FencingTokens;
  readonly commands: Readonly<Partial<Record<OperationKindName, AnyCommand>>>;
  /** Operations that may run at once; 0 = no limit. */
  readonly maxConcurrentOperations: number;
  readonly log: Log;
  /** Awaited before operations of an earlier life are resumed: the host may still be coming up. */
  readonly readyToResume?: () => Promise<void>;
  /** Called once for each operation that finished in this life. */
  readonly onFinished?: (operationId: string) => void;
}

/** A finished operation that no manager has taken note of is kept this long. */
const KEEP_FINISHED_MS = 30 * 86_400_000;
const PRUNE_INTERVAL_MS = 86_400_000;
/** At a stop: how long steps get to write down what they have done. */
const STOP_GRACE_MS = 3_000;

export class OperationRunner {
  private readonly driver: OperationDriver;
  private readonly operations = new Map<string, LiveOperation>();
  private readonly queue: LiveOperation[] = [];
  private readonly running = new Map<string, Promise<void>>();
  private order: Promise<unknown> = Promise.resolve();
  private stopped = false;
  private pruning: NodeJS.Timeout | undefined;

  constructor(private readonly options: RunnerOptions) {
    this.driver = new OperationDriver(options);
  }

  /** Once, first: reads all journals and relieves every guest of an unfinished operation. Nothing else is done yet. */
  async recover(): Promise<void> {
    await this.options.fencing.open();
    for (const journal of await this.options.journals.openAll()) {
      const command = this.command(journal.accepted.kind);
      const { operationId, vmUuid } = journal.accepted;
      const operation = new LiveOperation(journal, command, this.options.clock, this.logOf(operationId, vmUuid));
      if (operation.finished) await journal.close();
      this.operations.set(operationId, operation);
    }
    await relieveAll(this.unfinished(true), this.driver, this.options);
  }

  /** Once, after recover: goes on with the unfinished operations in the background, and drops old finished ones. */
  resume(): void {
    // Those that had begun hold their places whatever the limit says now; the others wait in their old order.
    const ready = this.options.readyToResume?.() ?? Promise.resolve();
    const waiting = this.unfinished(false);
    for (const operation of this.unfinished(true)) this.run(operation, ready);
    this.queue.push(...waiting);
    this.admit();
    this.prune();
    this.pruning = setInterval(() => this.prune(), PRUNE_INTERVAL_MS);
    this.pruning.unref();
  }

  get runningCount(): number {
    return this.running.size;
  }

  /**
   * Accepts an operation, durably, before it answers. The same id with the same parameters answers with the operation as it
   * is. OPERATION_ID_REUSED, FENCED, VM_BUSY {vmUuid, operationId of the other}, HOST_UNAVAILABLE (stopping, or no room for state).
   */
  accept(kind: OperationKindName, request: AnyRequest): Promise<OperationView> {
    return this.exclusively(async () => {
      if (this.stopped)
        throw new HoldfastError('HOST_UNAVAILABLE', 'The agent of this host is stopping; send the operation again in a moment.');
      const command = this.command(kind);
      const { operationId, vmUuid, fencingToken, timeoutSeconds } = request.header;
      const encoded = command.codec.encode(request);
      const hash = paramsHash(encoded);
      const known = this.operations.get(operationId);
      if (known !== undefined) {
        if (known.journal.accepted.kind !== kind || known.journal.accepted.paramsHash !== hash) {
          throw new HoldfastError(
            'OPERATION_ID_REUSED',
            `Operation ${operationId} exists already with other parameters; use a new id for new work.`,
            { operationId },
          );
        }
        return known.view();
      }
      await this.options.fencing.admit(vmUuid, fencingToken);
      this.refuseSecondOf(vmUuid);
      const journal = await this.options.journals
        .create({
          operationId,
          kind,
          vmUuid,
          request: encoded,
          paramsHash: hash,
          timeoutSeconds,
          acceptedAtMs: this.options.clock.now(),
          bootId: this.options.bootId,
        })
        .catch((cause: unknown) => {
          throw new HoldfastError(
            'HOST_UNAVAILABLE',
            'The agent cannot write its state directory; make room there.',
            { operationId },
            { cause },
          );
        });
      const operation = new LiveOperation(journal, command, this.options.clock, this.logOf(operationId, vmUuid));
      this.operations.set(operationId, operation);
      operation.log.info('Operation accepted', { kind, vmName: request.header.vmName });
      this.queue.push(operation);
      this.admit();
      return operation.view();
    });
  }

  /** NOT_FOUND when this agent does not know it (any more). */
  get(operationId: string): OperationView {
    return this.find(operationId).view();
  }

  /** In the order of acceptance. */
  list(unfinishedOnly: boolean): OperationView[] {
    return [...this.operations.values()]
      .filter((operation) => !unfinishedOnly || !operation.finished)
      .map((operation) => operation.view())
      .sort((a, b) => a.acceptedAtMs - b.acceptedAtMs);
  }

  /** Calls the watcher with the operation now and after every change. Returns the end of the watch. NOT_FOUND. */
  watch(operationId: string, watcher: Watcher): () => void {
    return this.find(operationId).watch(watcher);
  }

  /** Queued: cancelled at once. Running: asked to stop and undo. NOT_FOUND; WRONG_STATE when it is too late. */
  cancel(operationId: string): Promise<OperationView> {
    return this.exclusively(async () => {
      const operation = this.find(operationId);
      const view = operation.view();
      if (view.state === 'Cancelled' || view.state === 'Undoing') return view;
      if (operation.finished)
        throw new HoldfastError('WRONG_STATE', `Operation ${operationId} has finished already (${view.state}).`, { operationId });
      const error = new HoldfastError('CANCELLED', `Operation ${operationId} was cancelled.`, { operationId });
      const waiting = this.queue.indexOf(operation);
      if (waiting === -1) {
        await operation.requestStop(error);
        return operation.view();
      }
      this.queue.splice(waiting, 1);
      await operation.append({ type: 'finished', state: 'Cancelled', vmOutcome: 'AsBefore', error: error.toData() });
      this.options.onFinished?.(operationId);
      return operation.view();
    });
  }

  /** Drops a finished operation; an unknown one is fine. WRONG_STATE while it is unfinished. */
  forget(operationId: string): Promise<void> {
    return this.exclusively(async () => {
      const operation = this.operations.get(operationId);
      if (operation === undefined) return;
      if (!operation.finished)
        throw new HoldfastError('WRONG_STATE', `Operation ${operationId} has not finished; it cannot be forgotten.`, {
          operationId,
        });
      await this.options.journals.remove(operationId);
      this.operations.delete(operationId);
    });
  }

  /** Ends this life: nothing new is accepted, what runs is left resumable. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.pruning);
    for (const operation of this.operations.values()) operation.endLife();
    const grace = new AbortController();
    await Promise.race([Promise.all(this.running.values()), this.options.clock.sleep(STOP_GRACE_MS, grace.signal)]);
    grace.abort();
    await Promise.all([...this.operations.values()].map((operation) => operation.journal.close()));
  }

  private unfinished(begun: boolean): LiveOperation[] {
    return [...this.operations.values()]
      .filter((operation) => !operation.finished && (operation.view().state !== 'Queued') === begun)
      .sort((a, b) => a.journal.accepted.acceptedAtMs - b.journal.accepted.acceptedAtMs);
  }

  private admit(): void {
    const limit = this.options.maxConcurrentOperations;
    while (!this.stopped && this.queue.length > 0 && (limit === 0 || this.running.size < limit)) {
      this.run(this.queue.shift() as LiveOperation, Promise.resolve());
    }
  }

  private run(operation: LiveOperation, ready: Promise<void>): void {
    const done = ready
      .then(() => this.driver.drive(operation))
      .catch((thrown: unknown) =>
        operation.log.error('Operation stopped by an unexpected error', { reason: HoldfastError.from(thrown).message }),
      )
      .finally(() => {
        this.running.delete(operation.id);
        if (operation.finished) {
          operation.log.info('Operation finished', { state: operation.view().state, vmOutcome: operation.view().vmOutcome });
          this.options.onFinished?.(operation.id);
        }
        this.admit();
      });
    this.running.set(operation.id, done);
  }

  private prune(): void {
    const oldest = this.options.clock.now() - KEEP_FINISHED_MS;
    for (const view of this.list(false)) {
      if (view.finishedAtMs === undefined || view.finishedAtMs >= oldest) continue;
      this.forget(view.operationId).catch((thrown: unknown) => {
        this.options.log.warn('An old operation could not be dropped', {
          operation: view.operationId,
          reason: HoldfastError.from(thrown).message,
        });
      });
    }
  }

  private refuseSecondOf(vmUuid: string): void {
    for (const operation of this.operations.values()) {
      if (operation.finished || operation.journal.accepted.vmUuid !== vmUuid) continue;
      throw new HoldfastError(
        'VM_BUSY',
        `Operation ${operation.id} (${operation.journal.accepted.kind}) is working on VM ${vmUuid}; wait for its end or cancel it.`,
        {
          vmUuid,
          operationId: operation.id,
        },
      );
    }
  }

  private find(operationId: string): LiveOperation {
    const operation = this.operations.get(operationId);
    if (operation === undefined)
      throw new HoldfastError('NOT_FOUND', `This host knows no operation ${operationId}.`, { operationId });
    return operation;
  }

  private command(kind: OperationKindName): AnyCommand {
    const command = this.options.commands[kind];
    if (command === undefined) throw new HoldfastError('BUG', `This agent has no command for ${kind}.`, { kind });
    return command;
  }

  private logOf(operationId: string, vmUuid: string): Log {
    const fields = { operation: operationId, vm: vmUuid };
    const { log } = this.options;
    return {
      debug: (message, more) => log.debug(message, { ...fields, ...more }),
      info: (message, more) => log.info(message, { ...fields, ...more }),
      warn: (message, more) => log.warn(message, { ...fields, ...more }),
      error: (message, more) => log.error(message, { ...fields, ...more }),
    };
  }

  /** Accepting, cancelling and forgetting happen one after the other: each reads and then writes the set. */
  private exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.order.then(work);
    this.order = done.catch(() => undefined);
    return done;
  }
}
