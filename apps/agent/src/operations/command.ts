/**
 * What a command is to the operation runner, and what the runner gives to a command. A command is a function that is run
 * again from its top after every restart: confirmed steps answer from the journal, the first unconfirmed one acts (again).
 * So a command holds no state outside its steps, and everything it does to the world happens inside a step.
 */
import type { ErrorData, HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../logging/log.js';

/** JSON values: what goes into a journal. Bytes as decimal strings. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

export type OperationKindName =
  | 'TakeBackup'
  | 'RestoreBackup'
  | 'CleanupBackupError'
  | 'ReleaseFiles'
  | 'DeleteBackups'
  | 'TakeVmSnapshot'
  | 'RevertVmSnapshot'
  | 'DeleteVmSnapshots'
  | 'CompactChain';
export type VmOutcomeName = 'AsBefore' | 'AsAfter' | 'MergePending' | 'Unexplained';

/** What every request carries. */
export interface CommandHeader {
  readonly operationId: string;
  readonly vmUuid: string;
  readonly vmName: string;
  readonly fencingToken: bigint;
  /** 0 = none. */
  readonly timeoutSeconds: number;
}

export interface Attempt {
  /** An earlier life of the agent wrote the intent of this very step and did not confirm it: look at what is there first. */
  readonly repeated: boolean;
}

export interface RecordedStep {
  readonly intent: Json;
  /** Present when the step was confirmed. */
  readonly result?: Json;
  readonly confirmed: boolean;
}

export interface StepContext {
  readonly operationId: string;
  /** This life of the agent found the operation in its journal. */
  readonly resumed: boolean;
  /**
   * The host was restarted since the operation was accepted. Its VM may run on another host by now, where this host's
   * definition of it is not true any more: no chain may be changed by it.
   */
  readonly rebooted: boolean;
  /** Aborted by cancel or the operation's timeout; not any more after pointOfNoReturn. */
  readonly signal: AbortSignal;
  /**
   * One journalled step: intent written and fsynced → act → result written and fsynced. (name, subject) is unique in an
   * operation. A confirmed step returns its recorded result without acting. The intent of the first life stays: act gets
   * the recorded one, so that planned paths never change between lives.
   */
  step<I extends Json, R extends Json>(
    name: string,
    subject: string,
    intent: I,
    act: (intent: I, attempt: Attempt) => Promise<R>,
  ): Promise<R>;
  /** What the journal says of a step; undefined: never begun. */
  recorded(name: string, subject?: string): RecordedStep | undefined;
  /** From here on the work is finished forward: cancel and timeout are answered with "too late". Journalled. */
  pointOfNoReturn(): Promise<void>;
  readonly pastPointOfNoReturn: boolean;
  /**
   * Past the point of no return, and patience is over: this pass is the last one. What still cannot be done is left to
   * CleanupBackupError and told as MergePending; what stands (a published backup, a switched VM) is never called Failed.
   */
  readonly lastTry: boolean;
  progress(report: { key: string; target: string; phase: string; doneBytes: bigint; totalBytes: bigint }): void;
  /** A sentence for people, kept with the operation. */
  warn(message: string): void;
  readonly log: Log;
}

export interface Outcome<Result> {
  readonly result: Result;
  readonly vmOutcome: VmOutcomeName;
}

export interface Command<Request extends { readonly header: CommandHeader }, Result> {
  readonly kind: OperationKindName;
  /** The request as stored in the journal and back (bigint ↔ string). */
  readonly codec: { encode(request: Request): Json; decode(json: Json): Request };
  readonly resultCodec: { encode(result: Result): Json; decode(json: Json): Result };
  /**
   * First thing after a restart of the agent, for every unfinished operation, before anything else and before libvirt is
   * asked about anything else: thaw a guest that may be frozen, resume one that we suspended. Must be quick and repeatable.
   */
  relieve(request: Request, context: StepContext): Promise<void>;
  /** Does the work. Throws HoldfastError when it cannot; before the point of no return that leads to undo. */
  run(request: Request, context: StepContext): Promise<Outcome<Result>>;
  /** Takes back what was done, by looking at what is really there. Runs in its own steps (names begin with "undo-"). */
  undo(request: Request, context: StepContext, error: HoldfastError): Promise<Undone<Result>>;
}

/** How a VM is after an undo. */
export interface Undone<Result> {
  readonly vmOutcome: VmOutcomeName;
  /** What kept the undo from its end. */
  readonly error?: ErrorData;
  /** What was done and stays done, for whoever keeps record of it. */
  readonly result?: Result;
}
