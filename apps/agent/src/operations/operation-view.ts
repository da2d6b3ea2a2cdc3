/**
 * What the journal says of an operation, as plain data. Owns the entries of a journal and the fold that turns them into a
 * view. Pure: no files, no clock; the same entries always give the same view.
 */
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Json, OperationKindName, RecordedStep, VmOutcomeName } from './command.js';

export type OperationStateName = 'Queued' | 'Running' | 'Undoing' | 'Succeeded' | 'Failed' | 'Cancelled';
export type FinishedState = 'Succeeded' | 'Failed' | 'Cancelled';
export type StepStateName = 'Running' | 'Done' | 'Failed';

/** What was accepted; written once, before the operation exists. */
export interface AcceptedOperation {
  readonly operationId: string;
  readonly kind: OperationKindName;
  readonly vmUuid: string;
  /** As the command's codec encodes it. */
  readonly request: Json;
  /** SHA-256 of the request in canonical form, without what may differ between two sendings of it. */
  readonly paramsHash: string;
  readonly timeoutSeconds: number;
  readonly acceptedAtMs: number;
  /** The boot of the host in which it was accepted. */
  readonly bootId: string;
}

/** One line of a journal. `at`: Unix time in ms, for people and time limits; order is the order of the lines. */
export type JournalEntry = { readonly at: number } & (
  | { readonly type: 'started' }
  /** A new life of the agent goes on with it. */
  | { readonly type: 'resumed' }
  | { readonly type: 'step-intent'; readonly name: string; readonly subject: string; readonly intent: Json }
  | { readonly type: 'step-confirmed'; readonly name: string; readonly subject: string; readonly result: Json }
  | { readonly type: 'step-failed'; readonly name: string; readonly subject: string; readonly error: ErrorData }
  | { readonly type: 'point-of-no-return' }
  | { readonly type: 'warning'; readonly message: string }
  /** Cancelled or out of time; the operation has not reacted yet. */
  | { readonly type: 'stop-requested'; readonly error: ErrorData }
  /** Undo begins. */
  | { readonly type: 'failing'; readonly error: ErrorData }
  | {
      readonly type: 'finished';
      readonly state: FinishedState;
      readonly vmOutcome: VmOutcomeName | undefined;
      readonly error?: ErrorData;
      readonly result?: Json;
    }
);

export interface StepView {
  readonly name: string;
  /** Volume key or target; empty: the whole VM. */
  readonly subject: string;
  readonly state: StepStateName;
  readonly startedAtMs: number;
  readonly finishedAtMs: number | undefined;
}

export interface ProgressView {
  readonly key: string;
  readonly target: string;
  readonly phase: string;
  readonly doneBytes: bigint;
  /** 0 = unknown. */
  readonly totalBytes: bigint;
}

/** An operation as watchers see it. */
export interface OperationView {
  readonly operationId: string;
  readonly kind: OperationKindName;
  readonly vmUuid: string;
  readonly state: OperationStateName;
  /** Grows with every change, also over restarts. */
  readonly revision: bigint;
  readonly acceptedAtMs: number;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly steps: readonly StepView[];
  readonly progress: readonly ProgressView[];
  readonly error: ErrorData | undefined;
  readonly vmOutcome: VmOutcomeName | undefined;
  readonly warnings: readonly string[];
  /** As the command's result codec encodes it; of an operation that was taken back: what stays done, if anything does. */
  readonly result: Json | undefined;
  readonly pastPointOfNoReturn: boolean;
  readonly stopRequested: ErrorData | undefined;
}

/** Progress counts between two entries of the journal, so that revisions grow even when progress is forgotten by a restart. */
const REVISIONS_PER_ENTRY = 1_000_000n;

/** Revision after `entries` lines and `progressReports` reports since the last of them. */
export function revisionOf(entries: number, progressReports: number): bigint {
  const reports = BigInt(progressReports);
  return BigInt(entries + 1) * REVISIONS_PER_ENTRY + (reports < REVISIONS_PER_ENTRY ? reports : REVISIONS_PER_ENTRY - 1n);
}

/** The view after these entries, without progress (which is not journalled). */
export function foldJournal(accepted: AcceptedOperation, entries: readonly JournalEntry[]): OperationView {
  const steps = new Map<string, StepView>();
  const warnings = new Set<string>();
  let view: OperationView = {
    operationId: accepted.operationId,
    kind: accepted.kind,
    vmUuid: accepted.vmUuid,
    state: 'Queued',
    revision: revisionOf(entries.length, 0),
    acceptedAtMs: accepted.acceptedAtMs,
    startedAtMs: undefined,
    finishedAtMs: undefined,
    steps: [],
    progress: [],
    error: undefined,
    vmOutcome: undefined,
    warnings: [],
    result: undefined,
    pastPointOfNoReturn: false,
    stopRequested: undefined,
  };
  for (const entry of entries) {
    switch (entry.type) {
      case 'started':
        view = { ...view, state: 'Running', startedAtMs: entry.at };
        break;
      case 'resumed':
        break;
      case 'step-intent':
      case 'step-confirmed':
      case 'step-failed': {
        const key = stepKey(entry.name, entry.subject);
        const startedAtMs = steps.get(key)?.startedAtMs ?? entry.at;
        const state = entry.type === 'step-intent' ? 'Running' : entry.type === 'step-confirmed' ? 'Done' : 'Failed';
        const finishedAtMs = state === 'Running' ? undefined : entry.at;
        steps.set(key, { name: entry.name, subject: entry.subject, state, startedAtMs, finishedAtMs });
        break;
      }
      case 'point-of-no-return':
        view = { ...view, pastPointOfNoReturn: true };
        break;
      case 'warning':
        warnings.add(entry.message);
        break;
      case 'stop-requested':
        view = { ...view, stopRequested: entry.error };
        break;
      case 'failing':
        view = { ...view, state: 'Undoing', error: entry.error };
        break;
      case 'finished':
        view = {
          ...view,
          state: entry.state,
          finishedAtMs: entry.at,
          error: entry.error,
          vmOutcome: entry.vmOutcome,
          result: entry.result,
        };
        break;
    }
  }
  return { ...view, steps: [...steps.values()], warnings: [...warnings] };
}

/** What the journal says of each step. The first intent stays, and the first confirmation is the last word. */
export function foldSteps(entries: readonly JournalEntry[]): Map<string, RecordedStep> {
  const steps = new Map<string, RecordedStep>();
  for (const entry of entries) {
    if (entry.type === 'step-intent') {
      const key = stepKey(entry.name, entry.subject);
      if (!steps.has(key)) steps.set(key, { intent: entry.intent, confirmed: false });
    } else if (entry.type === 'step-confirmed') {
      const key = stepKey(entry.name, entry.subject);
      steps.set(key, { intent: steps.get(key)?.intent ?? null, result: entry.result, confirmed: true });
    }
  }
  return steps;
}

/** (name, subject) as one key. Neither may hold a NUL. */
export function stepKey(name: string, subject: string): string {
  return `${name}\0${subject}`;
}

/** True when nothing will change any more. */
export function isFinished(view: Pick<OperationView, 'state'>): boolean {
  return view.state === 'Succeeded' || view.state === 'Failed' || view.state === 'Cancelled';
}
