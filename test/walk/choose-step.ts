/** Chooses the next step of a walk from chance and what is known of the VM. Pure, so that a seed repeats a walk. */
import type { StepName } from '../crash/crash-case.js';
import type { Random } from './random.js';

/** What a choice may depend on. */
export interface WalkState {
  readonly running: boolean;
  /** The active layer of the data disk was put on by somebody else. */
  readonly foreignLayer: boolean;
  /** VM snapshots of Holdfast. Nobody takes disks away or changes chains meanwhile: it would be the snapshots that suffer. */
  readonly snapshots: number;
  /** Attached disks beyond the first two, by target. */
  readonly extraDisks: readonly string[];
  /** Disks that were ever attached. */
  readonly attachedEver: number;
  /** Backups whose content is kept, oldest first. */
  readonly backups: readonly string[];
  /** Operation → the steps that it was seen to take. */
  readonly steps: ReadonlyMap<string, readonly StepName[]>;
}

export interface Choosable {
  readonly name: string;
  /** How often, compared with the others. */
  readonly weight: number;
  /** Whether it can be done now; default always. */
  possible?(state: WalkState): boolean;
}

/** Where and by what an operation is struck. */
export interface Strike extends StepName {
  readonly phase: 'before' | 'after';
  readonly fault: string;
}

export type WalkStep =
  | { readonly kind: 'move'; readonly name: string }
  | { readonly kind: 'operation'; readonly name: string; readonly strike: Strike | undefined };

export interface WalkChoices {
  readonly moves: readonly Choosable[];
  readonly operations: readonly Choosable[];
  readonly faults: readonly string[];
}

const OPERATION_SHARE = 0.6;
const STRIKE_SHARE = 0.6;

/** The next step. An operation is struck only at steps that it has been seen to take. */
export function chooseStep(random: Random, state: WalkState, choices: WalkChoices): WalkStep {
  const possible = (one: Choosable): boolean => one.possible?.(state) ?? true;
  if (!random.chance(OPERATION_SHARE)) return { kind: 'move', name: random.weighted(choices.moves.filter(possible)).name };
  const { name } = random.weighted(choices.operations.filter(possible));
  const steps = state.steps.get(name) ?? [];
  if (steps.length === 0 || !random.chance(STRIKE_SHARE)) return { kind: 'operation', name, strike: undefined };
  const { step, subject } = random.pick(steps);
  const phase = random.chance(0.5) ? 'before' : 'after';
  return { kind: 'operation', name, strike: { step, subject, phase, fault: random.pick(choices.faults) } };
}

/** A step as one line: "TakeBackup, copy.{vdb} before, power-loss". */
export function describeStep(step: WalkStep): string {
  if (step.kind === 'move' || step.strike === undefined) return step.name;
  const { subject, phase, fault } = step.strike;
  return `${step.name}, ${fault} ${phase} ${step.strike.step}${subject === '' ? '' : `.${subject}`}`;
}
